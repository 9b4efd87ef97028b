"""A stand-in of Bitget's public REST and WebSocket interfaces, with faults on demand."""
