"""
Several tabs of one owner do whatever there is to do, all at once: what is left is one subscription, paid as quoted.

Random sequences of all verbs over HTTP, by threads, while people pay, cards fail, banks ask, months pass and webhooks
come. TABS_EXAMPLES makes it run longer; a failure names its seed, and TABS_SEED runs that again (threads take turns as
they like).
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
import stripe as sdk

from paidup import BillingError
from stripe_emulator import Emulator
from tests.support.host_app import HostApp
from tests.support.paying import GOOD_CARD, pay
from tests.support.waiting import eventually

OWNER = "user:1"
EXAMPLES = int(os.environ.get("TABS_EXAMPLES", "2"))
SEED = os.environ.get("TABS_SEED")
SEEDS = [int(SEED)] if SEED else range(EXAMPLES)
TABS = 3
ROUNDS = 4
STEPS = 4
PRICES = {("basic", "month"): 900, ("pro", "month"): 2900, ("pro", "year"): 29000, ("team", "month"): 1500}
ADDON = {"month": 500, "year": 5000}
OVER = {"canceled", "incomplete_expired"}
CARDS = ("pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
GOOD = "pm_card_visa"


class Tabs:
    """One owner's browser, with several tabs."""

    def __init__(self, app: HostApp, stripe: Emulator) -> None:
        self.stripe = stripe
        self.app = app
        self.client: Any = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1
        self.asked: set[int] = {0}
        self.confirmed: set[str] = set()
        self.unexpected: list[str] = []
        self._lock = threading.Lock()
        self._pages: list[str] = []
        self._due: dict[str, int] = {}

    def begin(self, chance: random.Random) -> None:
        """Somebody who buys, mostly: without a subscription there is little to do."""
        if chance.random() < 0.8:
            with self.app.client(OWNER) as http:
                self._buy(http, chance)
                self._pay(http, chance)

    def open(self, seed: int) -> None:
        """Do a few things in one tab."""
        chance = random.Random(seed)
        with self.app.client(OWNER) as http:
            acts: list[Callable[[httpx.Client, random.Random], None]] = [
                self._buy,
                self._pay,
                self._preview,
                self._change,
                self._change,
                self._change,
                lambda http, _: self._say(http, "change/undo"),
                lambda http, chance: self._say(http, "cancel", when=chance.choice(["period_end"] * 4 + ["now"])),
                self._end_with_a_refund,
                lambda http, _: self._say(http, "resume"),
                lambda http, _: self._say(http, "resume"),
                lambda http, _: self._say(http, "pause"),
                lambda http, _: self._say(http, "pause", kind="subscription"),
                lambda http, _: self._say(http, "pay/retry"),
                lambda http, chance: self._say(http, chance.choice(["portal", "portal/subscription-cancel"])),
                self._come_back,
                lambda _, chance: self.use_card(chance.choice([*CARDS, GOOD])),
            ]
            for _ in range(STEPS):
                chance.choice(acts)(http, chance)

    def _say(self, http: httpx.Client, verb: str, **body: Any) -> Any:
        """What the app answers; None for a refusal, which has to be one that says what to do."""
        answer = http.post(f"/billing/{verb}", json=body)
        if answer.status_code < 400:
            return answer.json()
        if answer.is_server_error and answer.status_code not in (502, 503):
            # 502 is Stripe's no to what another tab has changed a moment before, 503 asks to try again.
            self.unexpected.append(f"{verb} {body}: {answer.status_code} {answer.text}")
        return None

    def _buy(self, http: httpx.Client, chance: random.Random) -> None:
        plan, interval = chance.choice(list(PRICES))
        seats = 3 if plan == "team" else 1
        addons = {"pack": chance.choice([0, 0, 1, 3])}
        with self._lock:
            self.asked.add(PRICES[plan, interval] * seats + ADDON[interval] * addons["pack"])
        started = self._say(http, "checkout", plan=plan, interval=interval, seats=seats, addons=addons)
        if started is not None:
            with self._lock:
                self._pages.append(started["url"])
            if chance.random() < 0.7:
                self._pay(http, chance)

    def _page(self, chance: random.Random) -> str | None:
        with self._lock:
            return chance.choice(self._pages) if self._pages else None

    def _pay(self, _: httpx.Client, chance: random.Random) -> None:
        page = self._page(chance)
        if page is not None:
            with suppress(AssertionError):  # it is over, or asks for no card, or for one
                pay(page, number=None if chance.random() < 0.2 else GOOD_CARD)

    def _come_back(self, http: httpx.Client, chance: random.Random) -> None:
        page = self._page(chance)
        if page is not None:
            answer = http.get("/billing/return", params={"session_id": page.rpartition("/")[2]})
            if answer.is_server_error:
                self.unexpected.append(f"return: {answer.status_code} {answer.text}")

    def use_card(self, card: str) -> None:
        """From now on the subscription there is, if there is one, is charged to this card."""
        subscription = self.app.billing.subscription(OWNER)
        if subscription is not None and not subscription.has_ended:
            with suppress(sdk.InvalidRequestError):  # another tab has ended it
                method = self.client.payment_methods.attach(card, {"customer": subscription.customer})
                self.client.subscriptions.update(subscription.id, {"default_payment_method": method.id})

    def pass_time(self, chance: random.Random) -> None:
        """Hours, or a month: what was planned comes, periods are billed, trials end, banks are asked no more."""
        self.stripe.advance(seconds=chance.choice([60, 3600, 24 * 3600, 20 * 24 * 3600, 33 * 24 * 3600]))

    def _preview(self, http: httpx.Client, chance: random.Random) -> None:
        plan, interval = chance.choice(list(PRICES))
        terms: dict[str, Any] = {"seats": chance.randint(2, 6)} if plan == "team" else {}
        if chance.random() < 0.5:
            terms["addons"] = {"pack": chance.randint(0, 5)}
        quote = self._say(http, "change/preview", plan=plan, interval=interval, **terms)
        if quote is not None:
            with self._lock:
                self._due[quote["id"]] = quote["due_now"]

    def _change(self, http: httpx.Client, chance: random.Random) -> None:
        self._preview(http, chance)
        with self._lock:
            quote = chance.choice(list(self._due)[-3:]) if self._due else None
            self.confirmed.update([quote] if quote else [])
        if quote is not None:
            self._say(http, "change", quote=quote)

    def _end_with_a_refund(self, _: httpx.Client, chance: random.Random) -> None:
        if chance.random() < 0.2:
            with suppress(BillingError):  # no route offers it: an app decides for itself who gets money back
                self.app.billing.cancel(OWNER, when="now", refund_unused=True)

    # what may never be

    def settle(self) -> None:
        """Everything that happened is known."""
        self.stripe.wait_for_deliveries(30)
        eventually(lambda: not self.app.billing.queue() and not self.app.billing.events(state="pending"), 30)

    def judge(self) -> None:
        """Raises AssertionError for what may never be."""
        assert self.unexpected == []
        with httpx.Client(base_url=self.stripe.url, auth=("sk_test_paidup", ""), trust_env=False) as http:

            def listed(path: str, **params: str) -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = http.get(f"/v1/{path}", params={"limit": "100", **params}).json()["data"]
                return found

            assert len(listed("customers")) <= 1
            live = [each for each in listed("subscriptions", status="all") if each["status"] not in OVER]
            assert len(live) <= 1, "two live subscriptions"
            updates, periods = Counter[int](), Counter[tuple[str, int]]()
            for invoice in listed("invoices"):
                if invoice["billing_reason"] == "subscription_update" and invoice["amount_paid"]:
                    updates[invoice["amount_paid"]] += 1
                if invoice["billing_reason"] == "subscription_create":
                    assert invoice["amount_paid"] in self.asked
                if invoice["billing_reason"] == "subscription_cycle" and invoice["status"] != "void":
                    of = invoice["parent"]["subscription_details"]["subscription"]
                    periods[of, max(line["period"]["end"] for line in invoice["lines"]["data"])] += 1
            unasked = updates - Counter(self._due[each] for each in self.confirmed)
            # Who resumes what was stopped pays for the period that begins then, as they asked.
            resumed = len(self.stripe.events("customer.subscription.resumed"))
            assert sum(unasked.values()) <= resumed, f"{unasked} was charged, which nobody confirmed"
            assert set(periods.values()) <= {1}, "a period was billed twice"
            charges = [each for each in listed("charges") if each["status"] == "succeeded"]
            paid = sum(each["amount_paid"] for each in listed("invoices"))
            assert sum(each["amount"] for each in charges) == paid, "charged otherwise than by an invoice, or twice"
            assert all(each["amount_refunded"] <= each["amount"] for each in charges)
        access = self.app.billing.access(OWNER)
        if access.plan != "free":
            assert live, "access without a subscription"
            assert live[0]["status"] in ("trialing", "active", "past_due"), "access that nobody pays for"
            had = {item["price"]["lookup_key"].partition("_")[0]: item["quantity"] for item in live[0]["items"]["data"]}
            assert had.keys() - {"pack"} == {access.plan}, "another plan than is paid for"
            assert access.addons == {key: had[key] for key in had.keys() & {"pack"}}, "other add-ons than are paid for"

    def go_on(self) -> None:
        """Whatever happened, the owner can have what they want: no claim is stuck."""
        billing = self.app.billing
        subscription = billing.subscription(OWNER)
        if subscription is None or subscription.has_ended:
            assert billing.checkout(OWNER, "pro").url
            return
        self.use_card(GOOD)
        billing.retry_payment(OWNER)
        billing.undo_change(OWNER)
        billing.resume(OWNER)
        billing.retry_payment(OWNER)
        seats = {item.quantity for item in subscription.items if item.lookup_key != "pack_month"}
        wanted = 8 if subscription.plan != "team" or seats != {8} else 9
        quote = billing.preview_change(OWNER, "team", interval="month", seats=wanted)
        billing.change_plan(OWNER, quote.id)
        assert billing.cancel(OWNER, when="now").has_ended
        assert billing.checkout(OWNER, "pro").url


@pytest.mark.hazard(33)
@pytest.mark.hazard(47)
@pytest.mark.hazard(49)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_several_tabs_do_at_once_one_subscription_is_paid_as_quoted(
    host_app: HostApp, stripe: Emulator, seed: int
) -> None:
    chance = random.Random(seed)
    tabs = Tabs(host_app, stripe)
    tabs.begin(chance)
    with ThreadPoolExecutor(TABS) as pool:
        for _ in range(ROUNDS):
            list(pool.map(tabs.open, [chance.randrange(10**9) for _ in range(TABS)]))
            tabs.settle()
            tabs.judge()
            tabs.pass_time(chance)
            tabs.settle()
            tabs.judge()
        tabs.go_on()
