"""Every endpoint of the emulated API."""

from __future__ import annotations

from stripe_emulator.resources import (
    account,
    checkout_sessions,
    customers,
    event_log,
    invoices,
    payment_methods,
    payments,
    portal_configurations,
    portal_sessions,
    prices,
    products,
    refunds,
    subscription_items,
    subscriptions,
    test_clocks,
    webhook_endpoints,
)

ROUTES = [
    *account.ROUTES,
    *checkout_sessions.ROUTES,
    *customers.ROUTES,
    *event_log.ROUTES,
    *invoices.ROUTES,
    *payment_methods.ROUTES,
    *payments.ROUTES,
    *portal_configurations.ROUTES,
    *portal_sessions.ROUTES,
    *prices.ROUTES,
    *products.ROUTES,
    *refunds.ROUTES,
    *subscription_items.ROUTES,
    *subscriptions.ROUTES,
    *test_clocks.ROUTES,
    *webhook_endpoints.ROUTES,
]
