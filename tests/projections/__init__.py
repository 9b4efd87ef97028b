"""The views speak: given facts, then what is seen."""
