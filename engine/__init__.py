"""The engine: a pure core that decides, and a shell that feeds it facts and records its decisions."""
