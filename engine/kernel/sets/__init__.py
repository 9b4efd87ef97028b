"""Many sets of parameters traded over one market: it is prepared once, and each set only takes its own decisions."""
