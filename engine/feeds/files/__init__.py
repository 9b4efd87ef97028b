"""Candle and funding files as a feed: names, layouts, columns and coverage."""
