"""Commands that work on files and logs while no engine runs."""
