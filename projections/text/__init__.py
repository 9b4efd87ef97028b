"""Put events, reasons and numbers into words."""
