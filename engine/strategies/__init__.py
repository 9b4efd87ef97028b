"""The built-in strategies, one per file; adding a file adds a strategy."""
