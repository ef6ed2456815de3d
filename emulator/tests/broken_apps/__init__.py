"""One honest little shop, and others that each make one classic mistake."""
