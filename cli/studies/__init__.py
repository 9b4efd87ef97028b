"""The commands of research: a sweep, a walk-forward, and the studies that they leave."""
