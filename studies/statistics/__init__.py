"""The statistics behind a verdict: what luck, overfitting, the order of trades and higher costs can explain."""
