"""Rebuild the engine's state as of any past event and explain it."""
