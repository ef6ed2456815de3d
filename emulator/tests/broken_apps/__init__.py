"""One honest little shop, and ten that each make one classic mistake."""
