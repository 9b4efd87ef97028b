"""Stand-ins of the exchange and of Telegram, for trying and testing papertape without the internet."""
