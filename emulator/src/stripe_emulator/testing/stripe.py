"""The Stripe of a test: an emulator with builders, a person at its pages, and chaos when asked for."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
import stripe as sdk

from stripe_emulator.delivery import signature
from stripe_emulator.emulator import Emulator
from stripe_emulator.testing.schedule import API_KINDS, DELIVERY_KINDS, Schedule, Twist

KEY = "sk_test_testing"
SECRET = "whsec_testing"
VISA = "4242424242424242"
LIVE = ("trialing", "active", "past_due", "unpaid", "paused")
ROUNDS = 8
TRIES = 20
UNREACHED = 1_000_000

T = TypeVar("T")

CALLS = tuple(
    f"{method} {path}"
    for method, path in (
        ("POST", "/v1/customers"),
        ("GET", "/v1/customers/*"),
        ("POST", "/v1/customers/*"),
        ("POST", "/v1/checkout/sessions"),
        ("GET", "/v1/checkout/sessions/*"),
        ("POST", "/v1/subscriptions"),
        ("GET", "/v1/subscriptions"),
        ("GET", "/v1/subscriptions/*"),
        ("POST", "/v1/subscriptions/*"),
        ("POST", "/v1/invoiceitems"),
        ("POST", "/v1/invoices"),
        ("GET", "/v1/invoices"),
        ("GET", "/v1/invoices/*"),
        ("POST", "/v1/invoices/*"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents/*"),
        ("GET", "/v1/payment_intents/*"),
        ("POST", "/v1/refunds"),
        ("POST", "/v1/billing_portal/sessions"),
    )
)
"""The calls that chaos may disturb."""


class App(Protocol):
    """
    The app under test while it runs. Two more methods are used when it has them: `settle()` returns when it has
    worked off what it took, `restart()` kills it without warning and starts it on the same data.
    """

    @property
    def webhook_url(self) -> str:
        """Where Stripe's events go."""


class Stripe(Emulator):
    """An `Emulator` for tests of an app. `api` is the SDK's v1 client on it."""

    def __init__(self, port: int = 0, state: str | None = None, **more: Any) -> None:
        super().__init__(port, state, **more)
        self.secrets: dict[str, str] = {}
        self._chaos: Chaos | None = None

    def __enter__(self) -> Stripe:
        self.start()
        return self

    @property
    def api(self) -> Any:
        """The official SDK's v1 services, with this Stripe behind them."""
        return sdk.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=4).v1

    def add_endpoint(self, url: str, secret: str | None = None, enabled_events: Sequence[str] = ("*",)) -> str:
        """Deliver events to a URL; returns the signing secret. An endpoint at the same URL is replaced."""
        self.secrets[url] = super().add_endpoint(url, secret, enabled_events)
        return self.secrets[url]

    def price(self, lookup_key: str, *, amount: int = 2000, interval: str = "month", currency: str = "usd") -> str:
        """The id of the price with a lookup key, made if there is none."""
        found = self.api.prices.list({"lookup_keys": [lookup_key]}).data
        if found:
            return str(found[0].id)
        product = self.api.products.create({"name": lookup_key.replace("_", " ").title()}).id
        made = {"product": product, "currency": currency, "unit_amount": amount, "lookup_key": lookup_key}
        return str(self.api.prices.create({**made, "recurring": {"interval": interval}}).id)

    def customer(self, email: str, *, card: str | None = "pm_card_visa", **more: Any) -> CustomerBuilder:
        """A customer, by default with a card that works; what follows the dot happens to it."""
        made = self.api.customers.create({"email": email, **more})
        builder = CustomerBuilder(self, made.id)
        return builder.with_card(card) if card else builder

    def pay(self, url: str, number: str = VISA, *, visit: Callable[[str], object] | None = None) -> str:
        """
        Fill in and submit the Checkout page at `url`, then follow it back to the app; the address it led to.

        `visit` opens an address as the person does (cookies); by default it is fetched plainly. A page whose session
        is closed already, and a declined card, leave the person where they were: the answer is the page's own address.
        """
        visit = visit or _open
        chaos = self._chaos
        if chaos is not None:
            chaos.before_paying(url, visit)
        form = {"email": "payer@example.com", "cardNumber": number, "cardExpiry": "12/40", "cardCvc": "123"}
        answer = httpx.post(url, data={**form, "billingName": "A Payer"}, trust_env=False)
        where = answer.headers.get("Location", url)
        if not answer.is_redirect or where.startswith("/"):
            return url
        if chaos is None or not chaos.closes_tab():
            visit(where)
        return str(where)

    def insist(self, action: Callable[[], T]) -> T:
        """Do something as a person does who tries again when the app fails; the last answer if it never works."""
        for _ in range(TRIES):
            try:
                answer = action()
            except httpx.TransportError:
                continue
            if getattr(answer, "status_code", 200) < 500:
                return answer
        return action()

    def clicks(self, action: Callable[[], T]) -> list[T]:
        """
        `insist` on something that chaos may do twice; the different answers, in order.

        Two different addresses to pay at are two open tabs; a flow that pays at each shows a second purchase.
        """
        times = 2 if self._chaos is not None and self._chaos.clicks_twice() else 1
        answers: list[T] = []
        for _ in range(times):
            answer = self.insist(action)
            if answer not in answers:
                answers.append(answer)
        return answers

    def settle(self) -> None:
        """Let every event reach the app, as chaos would have it if there is any."""
        if self._chaos is None:
            self.wait_for_deliveries()
        else:
            self._chaos.settle()

    def chaos(self, seed: int | None = None, *, schedule: Schedule | None = None, app: App | None = None) -> Chaos:
        """
        From now on deliveries are made by `settle()`, as the schedule says, or as drawn by lot from the seed.

        A seed also lets some API calls fail. `finish()` of what is returned delivers all that is still owed.
        """
        self.deliveries.pause()
        self._chaos = Chaos(self, schedule or Schedule(), app, lot=None if seed is None else random.Random(seed))
        return self._chaos


class CustomerBuilder:
    """A customer being brought into some state, step by step; `id` and `subscription` are what came of it."""

    def __init__(self, stripe: Stripe, id: str) -> None:
        self._stripe = stripe
        self.id = id
        self.subscription = ""

    def with_card(self, card: str) -> CustomerBuilder:
        """Their default card, by a `pm_card_*` name."""
        method = self._stripe.api.payment_methods.attach(card, {"customer": self.id})
        self._stripe.api.customers.update(self.id, {"invoice_settings": {"default_payment_method": method.id}})
        return self

    def subscribed(self, price: str, *, quantity: int = 1, **more: Any) -> CustomerBuilder:
        """Subscribed to the price with this lookup key; a price that is not there is made."""
        items = [{"price": self._stripe.price(price), "quantity": quantity}]
        made = self._stripe.api.subscriptions.create({"customer": self.id, "items": items, **more})
        self.subscription = made.id
        return self

    def trialing(self, price: str, *, days: int = 14) -> CustomerBuilder:
        """In a trial."""
        return self.subscribed(price, trial_period_days=days)

    def incomplete(self, price: str) -> CustomerBuilder:
        """Subscribed, the first invoice unpaid."""
        return self.subscribed(price, payment_behavior="default_incomplete")

    def past_due(self) -> CustomerBuilder:
        """The next renewal comes and the card is declined. Moves the clock."""
        self.with_card("pm_card_chargeCustomerFail")
        self._stripe.advance(to="renewal", customer=self.id)
        return self

    def canceling(self) -> CustomerBuilder:
        """Canceled at the end of the period."""
        self._stripe.api.subscriptions.update(self._subscription(), {"cancel_at_period_end": True})
        return self

    def canceled(self) -> CustomerBuilder:
        """Canceled at once."""
        self._stripe.api.subscriptions.cancel(self._subscription())
        return self

    def _subscription(self) -> str:
        if not self.subscription:
            raise ValueError('there is no subscription yet; say .subscribed("price") before')
        return self.subscription


class Chaos:
    """
    Delivers what a Stripe owes, one event after another on the caller's thread, so that a schedule means the same each
    time. `trail` tells what was done.
    """

    def __init__(self, stripe: Stripe, schedule: Schedule, app: App | None, *, lot: random.Random | None) -> None:
        self.trail: list[str] = []
        self.places: list[Twist] = []
        self.refused: dict[str, int] = {}
        self.at_rest: Callable[[], None] = lambda: None
        self._stripe = stripe
        self._schedule = schedule
        self._app = app
        self._lot = lot
        self._known: set[str] = set()
        self._numbers: Counter[str] = Counter()
        self._again: list[tuple[str, dict[str, Any], str]] = []
        self._lost: list[tuple[str, dict[str, Any], str]] = []
        self._tab_closed = False
        self._arm()

    def settle(self, *, last: bool = False) -> None:
        """Deliver what there is; what the app refuses comes again some rounds. `last`: what was lost comes too."""
        for _ in range(ROUNDS):
            batch, self._again = self._again + self._new(), []
            if last and not batch:
                batch, self._lost = self._lost, []
            for label, event, url in batch:
                self._deliver(label, event, url)
            self._app_settles()
            if not self._again and not self._unseen() and not (last and self._lost):
                break

    def finish(self) -> None:
        """The end of the unkindness: no more faults, and everything that is owed comes."""
        self._stop_faults()
        self.settle(last=True)
        self.settle(last=True)
        self.refused = dict(Counter(label for label, _, _ in self._again))

    def calls_seen(self) -> list[str]:
        """The calls made since the beginning, as places of a schedule; known while nothing is disturbed."""
        seen = []
        for fault in self._stripe._get("/_emulator/faults")["faults"]:
            times = UNREACHED - 1 - fault["skip"]
            seen += [f"{fault['method']} {fault['path']}#{number + 1}" for number in range(times)]
        return seen

    def clicks_twice(self) -> bool:
        """Does the person click twice now?"""
        return self._meets("click-twice", self._place("click"))

    def before_paying(self, url: str, visit: Callable[[str], object]) -> None:
        """What the person does before submitting a Checkout page."""
        place = self._place("pay")
        id = urlsplit(url).path.rsplit("/", 1)[-1]
        if self._meets("returns-early", place):
            session = self._stripe.get(id)
            visit(session["success_url"].replace("{CHECKOUT_SESSION_ID}", id))
            self.settle()
            self.at_rest()
        self._tab_closed = self._meets("closes-tab", place)

    def closes_tab(self) -> bool:
        """Does the person, having paid, never come back?"""
        return self._tab_closed

    def _stop_faults(self) -> None:
        # Clearing faults also resumes deliveries: without an endpoint there is none to make, and ours are still known.
        self.settle()
        endpoints = self._stripe.api.webhook_endpoints
        for endpoint in endpoints.list().data:
            endpoints.update(endpoint.id, {"disabled": True})
        self._stripe.clear_faults()
        self._stripe.wait_for_deliveries()
        self._stripe.deliveries.pause()
        for endpoint in endpoints.list().data:
            endpoints.update(endpoint.id, {"disabled": False})

    def _arm(self) -> None:
        if self._lot is not None:
            for call in self._lot.sample(CALLS, k=4):
                self._fail(Twist(self._lot.choice(API_KINDS[:4]), f"{call}#1"))
            return
        for twist in self._schedule.of_kinds(API_KINDS):
            self._fail(twist)
        if self._schedule.has("declined", "charge#1"):
            self._stripe.decline_next()
        if not self._schedule.twists:
            for call in CALLS:  # never reached; what is left of the count says how often the call was made
                method, path = call.split(" ")
                self._stripe.fail_next(path, method=method, nth=UNREACHED)

    def _fail(self, twist: Twist) -> None:
        call, _, number = twist.where.partition("#")
        method, path = call.split(" ")
        nth = int(number)
        match twist.kind:
            case "timeout":
                self._stripe.fail_next(path, method=method, nth=nth, timeout=0.05)
            case "lost-answer" | "lost-answers":
                times = 1 if twist.kind == "lost-answer" else 3
                self._stripe.fail_next(path, method=method, nth=nth, times=times, after_work=True, timeout=0.0)
            case _:
                self._stripe.fail_next(path, method=method, nth=nth, status=int(twist.kind))
        self.trail.append(str(twist))

    def _place(self, name: str) -> str:
        self._numbers[name] += 1
        return f"{name}#{self._numbers[name]}"

    def _meets(self, kind: str, place: str) -> bool:
        self.places.append(Twist(kind, place))
        met = self._schedule.has(kind, place)
        if self._lot is not None and kind in DELIVERY_KINDS[:3]:
            met = self._lot.random() < 0.2
        if met:
            self.trail.append(f"{kind} {place}")
        return met

    def _owed(self) -> list[dict[str, Any]]:
        return [one for one in self._stripe.deliveries("pending")[::-1] if one["id"] not in self._known]

    def _unseen(self) -> bool:
        return bool(self._owed())

    def _new(self) -> list[tuple[str, dict[str, Any], str]]:
        owed = self._owed()
        if not owed:
            return []
        events = {event["id"]: event for event in self._stripe.events()}
        urls = {id: self._stripe.get(id)["url"] for id in {one["endpoint"] for one in owed}}
        now, late = [], []
        for one in owed:
            self._known.add(one["id"])
            label = self._place(one["type"])
            entry = (label, events[one["event"]], urls[one["endpoint"]])
            if self._meets("lost", label):
                self._lost.append(entry)
            elif self._meets("late", label):
                late.append(entry)
            else:
                now.append(entry)
        return now + late

    def _deliver(self, label: str, event: dict[str, Any], url: str) -> None:
        statuses = [self._post(event, url) for _ in range(2 if self._meets("duplicate", label) else 1)]
        self.trail += [f"  {label} -> {status or 'no answer'}" for status in statuses]
        status = statuses[-1]
        if status is None or not 200 <= status < 300:
            self._again.append((label, event, url))
        restart = getattr(self._app, "restart", None)
        if restart is not None and self._meets("restart", label):
            restart()

    def _post(self, event: dict[str, Any], url: str) -> int | None:
        body = json.dumps(event, indent=2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, [self._stripe.secrets[url]]),
        }
        try:
            return httpx.post(url, content=body.encode(), headers=headers, timeout=30, trust_env=False).status_code
        except httpx.TransportError:
            return None

    def _app_settles(self) -> None:
        settle = getattr(self._app, "settle", None)
        if settle is not None:
            settle()


def _open(url: str) -> object:
    return httpx.get(url, trust_env=False, timeout=30)
