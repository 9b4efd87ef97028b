"""Bitget's USDT futures: the client of its REST service and its public socket."""
