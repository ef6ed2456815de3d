"""A complete SaaS app on paidup, to copy and make yours."""
