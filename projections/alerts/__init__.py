"""Derive alerts from recorded events: their texts, and how loud each kind is."""
