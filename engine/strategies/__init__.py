"""One file, one strategy. Dropping a file in here (or into a configured folder) is all it takes to add one."""
