"""Sets of parameters over a prepared tape: what its hooks read, its tables, and the passes in CPython and compiled."""
