"""The commands that serve the stand-ins of the exchange and of Telegram."""
