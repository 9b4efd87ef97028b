"""Feeds: whatever delivers validated market facts, in time order, through one port."""
