"""The long-running processes: the engine with its companions, and the page."""
