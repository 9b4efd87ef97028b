"""The configuration file: its sections, its checks, its schema and its overrides."""
