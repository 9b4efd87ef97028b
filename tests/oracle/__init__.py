"""A slow, plain reference implementation of the paper-trading model, written from the two specifications alone."""
