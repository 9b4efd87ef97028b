"""The kernel: `observe` a fact, `decide` on it, `evolve` the state; the same source runs in CPython and compiled."""
