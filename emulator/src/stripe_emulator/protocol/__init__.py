"""Stripe's HTTP conventions: keys, forms, errors, idempotency, lists and expansion."""
