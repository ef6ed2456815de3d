"""The mapped classes, for reading: an app's own queries, reports and admin. Writing is paidup's alone."""

from __future__ import annotations

from paidup.database.tables import Customer, Invoice, Price, Product, Reversal, Subscription, SubscriptionItem

__all__ = ["Customer", "Invoice", "Price", "Product", "Reversal", "Subscription", "SubscriptionItem"]
