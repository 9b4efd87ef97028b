"""The arithmetic of trading: scalar code that CPython and numba run to the same bit."""
