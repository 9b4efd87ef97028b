"""The views of a log as JSON over HTTP: routes, streams, and what guards them. Nothing is computed here."""
