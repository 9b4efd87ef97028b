"""Research: sweeps over parameters, walk-forward, and the verdict whether a strategy deserves real money."""
