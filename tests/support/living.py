"""What happens to the customers of an app at Stripe: they subscribe, fail to pay, recover, pause, cancel, are gone."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import stripe as sdk

from paidup import Billing, BillingError
from stripe_emulator import Emulator
from tests.support.paying import pay

OWNERS = ("user:1", "user:2", "org:3")
_BAD_CARDS = ("pm_card_chargeCustomerFail", "pm_card_createDispute")


class Lives:
    """
    The lives of several owners, by chance, told by nobody but Stripe's events.

    `pass_time` puts the app's clock forward too. What Stripe refuses, as things stand, does not happen.
    """

    def __init__(
        self, stripe: Emulator, processes: list[Billing], chance: random.Random, pass_time: Callable[[float], None]
    ) -> None:
        self.client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}, max_network_retries=2)
        self._stripe = stripe
        self._processes = processes
        self._chance = chance
        self._pass_time = pass_time
        self._acts: list[Callable[[str], None]] = [
            self._subscribe,
            self._subscribe,
            self._subscribe,
            self._cancel_later,
            self._keep,
            self._cancel_now,
            self._change_plan,
            self._pause_collection,
            self._resume_collection,
            self._use_a_bad_card,
            self._mend,
            self._time_goes_by,
            self._time_goes_by,
            self._rename,
            self._refund,
            self._close_dispute,
            self._delete,
        ]

    def begin(self) -> None:
        """Some are customers already."""
        for owner in OWNERS[:2]:
            with suppress(sdk.StripeError, BillingError):
                self._subscribe(owner)

    def go_on(self, owner: str | None = None) -> None:
        """One thing happens to an owner, or to somebody."""
        with suppress(sdk.StripeError, BillingError):
            self._chance.choice(self._acts)(owner or self._chance.choice(OWNERS))

    def buy(self, owner: str, billing: Billing) -> None:
        """An owner comes to the app for a Checkout, and pays there."""
        plan = self._chance.choice(("basic", "pro"))
        url = billing.checkout(owner, plan, email=f"{owner[-1]}@example.com").url
        assert url is not None
        with suppress(AssertionError):  # a trial's page has no card fields, another one needs them
            pay(url, number=None if plan == "basic" else "4242424242424242")

    def customers(self, owner: str) -> list[dict[str, Any]]:
        """The customers at Stripe that were made for an owner, without deleted ones."""
        found = self.client.v1.customers.list({"limit": 100}).auto_paging_iter()
        bodies = [each.to_dict(for_json=True) for each in found]
        return [each for each in bodies if each["metadata"].get("paidup_owner") == owner]

    def subscriptions(self, customer: str) -> list[dict[str, Any]]:
        """Every subscription a customer ever had, in the shape in which paidup asks for it."""
        found = self.client.v1.subscriptions.list(
            {
                "customer": customer,
                "status": "all",
                "limit": 100,
                "expand": ["data.default_payment_method", "data.discounts.source.coupon"],
            }
        )
        return [each.to_dict(for_json=True) for each in found.auto_paging_iter()]

    def invoices(self, customer: str) -> list[dict[str, Any]]:
        """Every invoice of a customer."""
        found = self.client.v1.invoices.list({"customer": customer, "limit": 100})
        return [each.to_dict(for_json=True) for each in found.auto_paging_iter()]

    def _subscribe(self, owner: str) -> None:
        self.buy(owner, self._chance.choice(self._processes))

    def _cancel_later(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"cancel_at_period_end": True})

    def _keep(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"cancel_at_period_end": False})

    def _cancel_now(self, owner: str) -> None:
        self.client.v1.subscriptions.cancel(self._subscription(owner))

    def _change_plan(self, owner: str) -> None:
        subscription = self.client.v1.subscriptions.retrieve(self._subscription(owner))
        key = self._chance.choice(("basic_month", "pro_month"))
        price = self.client.v1.prices.list({"lookup_keys": [key]}).data[0]
        item = subscription["items"].data[0]
        self.client.v1.subscriptions.update(
            subscription.id,
            {"items": [{"id": item.id, "price": price.id}], "proration_behavior": "always_invoice"},
        )

    def _pause_collection(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"pause_collection": {"behavior": "void"}})

    def _resume_collection(self, owner: str) -> None:
        self.client.v1.subscriptions.update(self._subscription(owner), {"pause_collection": ""})

    def _use_a_bad_card(self, owner: str) -> None:
        self._use_card(owner, self._chance.choice(_BAD_CARDS))

    def _mend(self, owner: str) -> None:
        self._use_card(owner, "pm_card_visa")
        for invoice in self.client.v1.invoices.list({"customer": self._customer(owner), "status": "open"}).data:
            self.client.v1.invoices.pay(invoice.id)

    def _time_goes_by(self, owner: str) -> None:
        self._pass_time(self._chance.choice((1, 4, 15, 31)))

    def _rename(self, owner: str) -> None:
        self.client.v1.customers.update(self._customer(owner), {"name": f"N{self._chance.random()}"})

    def _refund(self, owner: str) -> None:
        charges = self.client.v1.charges.list({"customer": self._customer(owner)}).data
        if charges:
            charge = self._chance.choice(charges)
            self.client.v1.refunds.create({"charge": charge.id, "amount": max(1, charge.amount // 3)})

    def money_back(self, customer_id: str) -> dict[str, tuple[int, str | None]]:
        """What went back of a customer's invoices: the amount refunded and the dispute that weighs most, by invoice."""
        found: dict[str, tuple[int, str | None]] = {}
        for charge in self.client.v1.charges.list({"customer": customer_id, "limit": 100}).auto_paging_iter():
            if not charge.amount_refunded and not charge.disputed:
                continue
            payment: Any = {"type": "payment_intent", "payment_intent": charge.payment_intent}
            (paid,) = self.client.v1.invoice_payments.list({"payment": payment}).data
            (dispute,) = self.client.v1.disputes.list({"charge": charge.id}).data if charge.disputed else (None,)
            assert isinstance(paid.invoice, str)
            found[paid.invoice] = (charge.amount_refunded, dispute.status if dispute else None)
        return found

    def money_that_is_gone(self, customer_id: str) -> dict[str, int]:
        """How much of what a customer paid was refunded, is disputed or was lost, in minor units by invoice."""
        gone: dict[str, int] = {}
        for charge in self.client.v1.charges.list({"customer": customer_id, "limit": 100}).auto_paging_iter():
            payment: Any = {"type": "payment_intent", "payment_intent": charge.payment_intent}
            paid = self.client.v1.invoice_payments.list({"payment": payment}).data
            disputes = self.client.v1.disputes.list({"charge": charge.id}).data if charge.disputed else []
            taken = [each.amount for each in disputes if each.status in ("needs_response", "under_review", "lost")]
            for each in paid:
                assert isinstance(each.invoice, str)
                gone[each.invoice] = gone.get(each.invoice, 0) + charge.amount_refunded + sum(taken)
        return gone

    def disputed(self, customer_id: str) -> set[str]:
        """A customer's subscriptions of which a payment is disputed, or lost without another one after it."""
        back = self.money_back(customer_id)
        bills = {bill["id"]: bill for bill in self.invoices(customer_id)}
        found = set()
        for id, (_, status) in back.items():
            subscription = bills[id]["parent"]["subscription_details"]["subscription"]
            later = [
                each
                for each in bills.values()
                if each["status"] == "paid"
                and each["amount_paid"] > 0
                and each["created"] > bills[id]["created"]
                and each["parent"]["subscription_details"]["subscription"] == subscription
                and back.get(each["id"], (0, None))[1] is None
            ]
            if status == "needs_response" or (status == "lost" and not later):
                found.add(subscription)
        return found

    def _close_dispute(self, owner: str) -> None:
        for dispute in self.client.v1.disputes.list().data[:1]:
            self.client.v1.disputes.close(dispute.id)

    def _delete(self, owner: str) -> None:
        if self._chance.random() < 0.2:
            self.client.v1.customers.delete(self._customer(owner))

    def _customer(self, owner: str) -> str:
        found = self.customers(owner)
        if not found:
            raise BillingError(f"{owner} has no customer")
        return str(found[0]["id"])

    def _subscription(self, owner: str) -> str:
        found = self.client.v1.subscriptions.list({"customer": self._customer(owner), "limit": 5}).data
        if not found:
            raise BillingError(f"{owner} has no subscription")
        return self._chance.choice(found).id

    def _use_card(self, owner: str, token: str) -> None:
        method = self.client.v1.payment_methods.attach(token, {"customer": self._customer(owner)})
        self.client.v1.subscriptions.update(self._subscription(owner), {"default_payment_method": method.id})
