"""The watchdog: what is wrong with the engine and its market, said once, mended first, and told when it is over."""
