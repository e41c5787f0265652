"""What leaves the house: dataset cards, model cards, and what is pushed with them."""
