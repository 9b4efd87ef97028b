"""The functions for notebooks: files, backtests, logs and studies as polars frames and plots."""
