"""Every endpoint of the emulated API."""

from __future__ import annotations

from stripe_emulator.resources import (
    account,
    checkout_sessions,
    coupons,
    customers,
    event_log,
    invoices,
    payment_methods,
    payments,
    portal_configurations,
    portal_sessions,
    prices,
    products,
    promotion_codes,
    refunds,
    subscription_items,
    subscriptions,
    test_clocks,
    webhook_endpoints,
)

ROUTES = [
    *account.ROUTES,
    *checkout_sessions.ROUTES,
    *coupons.ROUTES,
    *customers.ROUTES,
    *event_log.ROUTES,
    *invoices.ROUTES,
    *payment_methods.ROUTES,
    *payments.ROUTES,
    *portal_configurations.ROUTES,
    *portal_sessions.ROUTES,
    *prices.ROUTES,
    *products.ROUTES,
    *promotion_codes.ROUTES,
    *refunds.ROUTES,
    *subscription_items.ROUTES,
    *subscriptions.ROUTES,
    *test_clocks.ROUTES,
    *webhook_endpoints.ROUTES,
]
