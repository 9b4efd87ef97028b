"""What the owner is told: alerts derived from recorded events, their texts, and how loud each kind is."""
