"""The long-running processes: the engine with its services, and the page."""
