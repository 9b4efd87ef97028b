"""The contract of a strategy's file, proven from its source before the file is run."""
