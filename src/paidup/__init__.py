"""paidup."""
