"""`papertape doctor`: check that everything a log, an engine and its owner need is in order."""
