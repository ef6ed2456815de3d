"""Stripe's resources, one noun a file: how each is created, changed, listed and shown."""
