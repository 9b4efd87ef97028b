"""A stand-in of the Telegram Bot API, with faults on demand."""
