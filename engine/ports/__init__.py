"""The interfaces through which the outside world reaches the engine."""
