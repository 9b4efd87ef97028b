"""The reference pages, written from the code: `make docs` writes them, and a test fails if they differ from it."""
