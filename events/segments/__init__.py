"""Sealed segments: immutable files that hold old commits in columns."""
