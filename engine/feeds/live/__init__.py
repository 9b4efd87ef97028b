"""A live market over any exchange: one session that streams, requests what is missing, and delivers in order."""
