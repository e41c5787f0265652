"""What leaves the house: cards, pushes, exported models."""
