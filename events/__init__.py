"""Every fact of papertape, and the log that holds them. This room imports nothing of ours."""
