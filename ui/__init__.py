"""The views for a human: pages rendered by the server, live by server-sent events."""
