"""Sealed segments: a log that is partly in files of its own."""
