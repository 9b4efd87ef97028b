"""The command line: verbs, configuration, and the one place that builds the object graph."""
