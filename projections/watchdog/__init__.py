"""The watchdog: detects what is wrong with the engine and its market, tries repairs, and reports each anomaly once."""
