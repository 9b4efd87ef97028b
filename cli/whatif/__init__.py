"""Decide again on a log's inputs: compare the decisions of two versions or configurations, or branch a log off."""
