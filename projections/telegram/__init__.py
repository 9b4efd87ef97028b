"""Telegram: delivers alerts from the log to one chat, in order and without loss, and answers its commands."""
