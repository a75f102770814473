"""Speech from text: a vendor's voices, and one that needs no vendor."""
