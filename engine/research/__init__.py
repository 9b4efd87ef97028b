"""Research: the same kernel compiled by numba, over tapes held in memory. The live engine never imports this."""
