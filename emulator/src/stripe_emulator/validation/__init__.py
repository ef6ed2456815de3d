"""Requests and responses held against the official SDK's own type annotations."""
