"""Local stand-ins of Bitget and Telegram, served by `papertape twin bitget|telegram`, to try papertape offline."""
