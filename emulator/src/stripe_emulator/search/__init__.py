"""Search: Stripe's query language, the fields each kind of object has for it, and an index that may lag behind."""
