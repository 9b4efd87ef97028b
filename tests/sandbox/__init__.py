"""Truthful stand-ins of the outside: an exchange that speaks as the real one does, and time that can be hurried."""
