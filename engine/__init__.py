"""The engine: a pure core that decides, and a shell that brings it facts and keeps its promises."""
