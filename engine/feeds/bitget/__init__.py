"""Bitget's USDT futures as a feed: streams, REST history, contracts and settlements."""
