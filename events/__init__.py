"""Every fact of papertape, and the log that stores them."""
