"""Sealed segments: old commits of a log, moved from SQLite into immutable files beside it."""
