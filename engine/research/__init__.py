"""Research: the kernel compiled by numba, over tapes held in memory; the live engine never imports it."""
