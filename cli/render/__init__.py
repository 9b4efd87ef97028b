"""Turn results into text for a terminal, or into JSON."""
