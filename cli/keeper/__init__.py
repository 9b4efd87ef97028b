"""Keep the engine and the page running: start, watch, restart and stop them."""
