"""The kernel: plain functions over trees of scalars, run by CPython live and compiled for research."""
