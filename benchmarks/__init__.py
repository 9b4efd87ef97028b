"""Performance benchmarks, each against another way to do the same work in the same run: `python -m benchmarks`."""
