"""Pure folds over events: ledger, positions, trades, metrics, arena and market status."""
