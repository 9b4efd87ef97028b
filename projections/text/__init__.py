"""Turn events, reasons and numbers into words."""
