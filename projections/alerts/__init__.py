"""What the owner is told: alerts derived from recorded events, their texts, and when they are silent or off."""
