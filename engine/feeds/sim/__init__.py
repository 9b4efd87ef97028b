"""A seeded, simulated market as a feed."""
