"""Power cuts: what the disk may hold after one is drawn from recorded system calls, and papertape must start on it."""
