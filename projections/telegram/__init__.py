"""Telegram: alerts out of the log to one chat, never lost, in order; the protocol client that everybody here shares."""
