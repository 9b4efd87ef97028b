"""The typed client, against the real application."""
