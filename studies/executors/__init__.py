"""Who runs the tasks of a study: this process, processes of this machine, or a cluster."""
