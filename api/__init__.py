"""Serve the views of a log as JSON over HTTP: routes, streams, and what protects them."""
