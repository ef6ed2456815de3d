"""A merchant with customers, for tests: the official SDK over HTTP, and clicks on the hosted pages."""

from __future__ import annotations

from typing import Any

import httpx
import stripe

from stripe_emulator import Emulator

KEY = "sk_test_emulator"
VISA = "4242 4242 4242 4242"
DECLINED = "4000000000000002"
NEEDS_3DS = "4000002500003155"
ACCOUNT = "000123456789"
SUCCESS = "http://shop.test/done?session_id={CHECKOUT_SESSION_ID}"


class Shop:
    """What tests do to an emulated Stripe. `api` is the SDK's v1 client, `pages` a browser without JavaScript."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.api = stripe.StripeClient(KEY, base_addresses={"api": emulator.url}).v1
        self.pages = httpx.Client(base_url=emulator.url, trust_env=False)

    def http(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """A bare request with a key."""
        headers = {"Authorization": f"Bearer {KEY}", **sent.pop("headers", {})}
        return self.pages.request(method, path, headers=headers, **sent)

    def price(
        self, amount: int = 3000, interval: Any = "month", *, name: str = "Pro", product: str | None = None
    ) -> stripe.Price:
        """A recurring price."""
        product = product or self.api.products.create({"name": name}).id
        return self.api.prices.create(
            {"product": product, "currency": "usd", "unit_amount": amount, "recurring": {"interval": interval}}
        )

    def customer(self, card: str | None = "pm_card_visa", *, clock: str | None = None) -> stripe.Customer:
        """A customer, by default with a card that works."""
        customer = self.api.customers.create(
            {"email": "jenny@example.com", "test_clock": clock} if clock else {"email": "jenny@example.com"}
        )
        if card is not None:
            self.give_card(customer.id, card)
        return customer

    def give_card(self, customer: str, card: str) -> str:
        """Make a card the customer's default; returns the payment method's id."""
        method = self.api.payment_methods.attach(card, {"customer": customer})
        self.api.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
        return method.id

    def subscribe(self, customer: str, price: str, **more: Any) -> stripe.Subscription:
        """A subscription through the API."""
        quantity = more.pop("quantity", 1)
        sent: Any = {"customer": customer, "items": [{"price": price, "quantity": quantity}], **more}
        return self.api.subscriptions.create(sent)

    def session(self, price: str, **more: Any) -> stripe.checkout.Session:
        """A Checkout session for a subscription."""
        sent: Any = {
            "mode": "subscription",
            "line_items": [{"price": price, "quantity": 1}],
            "success_url": SUCCESS,
            "cancel_url": "http://shop.test/pricing",
            **more,
        }
        return self.api.checkout.sessions.create(sent)

    def pay(self, session: str, number: str | None = VISA, *, email: str = "jenny@example.com") -> httpx.Response:
        """Fill in the Checkout page."""
        form = {"email": email}
        if number is not None:
            form |= {"cardNumber": number, "cardExpiry": "12/40", "cardCvc": "123", "billingName": "Jenny Rosen"}
        return self.pages.post(f"/c/pay/{session}", data=form)

    def debit(self, session: str, account: str = ACCOUNT, *, email: str = "jenny@example.com") -> httpx.Response:
        """Fill in the Checkout page with a US bank account, or with an IBAN."""
        form = {"email": email, "accountHolder": "Jenny Rosen"}
        if account[0].isdigit():
            form |= {
                "paymentMethodType": "us_bank_account",
                "routingNumber": "110000000",
                "accountNumber": account,
            }
        else:
            form |= {"paymentMethodType": "sepa_debit", "iban": account}
        return self.pages.post(f"/c/pay/{session}", data=form)

    def portal(self, customer: str, **features: Any) -> stripe.billing_portal.Session:
        """A portal session with card, invoices and cancellation."""
        sent: Any = {
            "payment_method_update": {"enabled": True},
            "invoice_history": {"enabled": True},
            "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
            **features,
        }
        configuration = self.api.billing_portal.configurations.create({"features": sent})
        return self.api.billing_portal.sessions.create(
            {"customer": customer, "configuration": configuration.id, "return_url": "http://shop.test/billing"}
        )

    def seen(self) -> int:
        """How many events there are, to look only at later ones."""
        return len(self.emulator.events())

    def types_since(self, seen: int = 0) -> list[str]:
        """The types of events since then, oldest first."""
        return [event["type"] for event in self.emulator.events()[seen:]]

    def last_event(self, type: str) -> Any:
        """The latest event of a type."""
        return self.emulator.events(type)[-1]


def period(subscription: stripe.Subscription) -> tuple[int, int]:
    """The first item's current period."""
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end
