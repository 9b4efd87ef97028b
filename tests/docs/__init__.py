"""The docs match the code: reference pages, links, names, and every block of code."""
