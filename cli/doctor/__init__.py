"""`papertape doctor`: whether everything that a log, an engine and its owner need is in order."""
