"""Checkpoints of folds along a log, on disk."""
