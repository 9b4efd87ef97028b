"""Other exchanges, live through ccxt (extra `exchanges`)."""
