"""The Stripe of a test: an emulator with builders, a person at its pages, and chaos when asked for."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import stripe as sdk

from stripe_emulator.emulator import Emulator
from stripe_emulator.testing.calls import Calls
from stripe_emulator.testing.chaos import App, Chaos
from stripe_emulator.testing.customers import CustomerBuilder
from stripe_emulator.testing.schedule import Schedule

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from stripe_emulator.engine import Engine

KEY = "sk_test_testing"
VISA = "4242424242424242"
ROUTING = "110000000"
TRIES = 20

T = TypeVar("T")


class Stripe(Emulator):
    """
    An `Emulator` for tests of an app. `api` is the SDK's v1 client on it.

    `calls` sees every call of the app; those with the key of `api`, the test's own, are never disturbed.
    """

    calls: Calls

    def __init__(self, port: int = 0, state: str | None = None, **more: Any) -> None:
        super().__init__(port, state, **more)
        self._chaos: Chaos | None = None
        self._api: Any = None

    def __enter__(self) -> Stripe:
        self.start()
        return self

    @property
    def api(self) -> Any:
        """The official SDK's v1 services, with this Stripe behind them."""
        if self._api is None:
            self._api = sdk.StripeClient(KEY, base_addresses={"api": self.url}).v1
        return self._api

    def price(
        self, lookup_key: str, *, amount: int = 2000, interval: str | None = "month", currency: str = "usd"
    ) -> str:
        """The id of the price with a lookup key, made if there is none; with no `interval` it is paid once."""
        found = self.api.prices.list({"lookup_keys": [lookup_key]}).data
        if found:
            return str(found[0].id)
        product = self.api.products.create({"name": lookup_key.replace("_", " ").title()}).id
        made = {"product": product, "currency": currency, "unit_amount": amount, "lookup_key": lookup_key}
        recurring = {} if interval is None else {"recurring": {"interval": interval}}
        return str(self.api.prices.create({**made, **recurring}).id)

    def customer(self, email: str, *, card: str | None = "pm_card_visa", **more: Any) -> CustomerBuilder:
        """A customer, by default with a card that works; what follows the dot happens to it."""
        made = self.api.customers.create({"email": email, **more})
        builder = CustomerBuilder(self, made.id)
        return builder.with_card(card) if card else builder

    def pay(
        self,
        url: str,
        number: str = VISA,
        *,
        account: str | None = None,
        visit: Callable[[str], object] | None = None,
    ) -> str:
        """
        Fill in and submit the Checkout page at `url`, then follow it back to the app; the address it led to.

        `account` is a US bank account's number to pay from instead of a card (its money comes days later); the session
        has to allow it. `visit` opens an address as the person does (cookies); by default it is fetched plainly. A page
        whose session is closed already, and a declined card, leave the person where they were: the answer is the page's
        own address. When chaos declines a charge, the person tries once more.
        """
        visit = visit or _open
        chaos = self._unkind()
        if chaos is not None:
            chaos.before_paying(url, visit)
        where = _submit(url, number, account)
        if where == url and chaos is not None:
            where = _submit(url, number, account)
        if where == url:
            return url
        if chaos is None or not chaos.closes_tab():
            visit(where)
        return where

    def insist(self, action: Callable[[], T]) -> T:
        """
        Do something as a person does who tries again when the app fails; the last answer if it never works.

        Failing is an answer of 500 and above, returned or raised by `raise_for_status`, and a broken connection.
        """
        for _ in range(TRIES):
            try:
                answer = action()
            except httpx.TransportError:
                continue
            except httpx.HTTPStatusError as error:
                if error.response.status_code < 500:
                    raise
                continue
            if getattr(answer, "status_code", 200) < 500:
                return answer
        return action()

    def clicks(self, action: Callable[[], T]) -> list[T]:
        """
        `insist` on something that chaos may do twice; the different answers, in order.

        Two different addresses to pay at are two open tabs; a flow that pays at each shows a second purchase.
        """
        chaos = self._unkind()
        times = 2 if chaos is not None and chaos.clicks_twice() else 1
        answers: list[T] = []
        for _ in range(times):
            answer = self.insist(action)
            if answer not in answers:
                answers.append(answer)
        return answers

    def settle(self) -> None:
        """Let every event reach the app, as chaos would have it if there is any."""
        chaos = self._unkind()
        if chaos is None:
            self.wait_for_deliveries()
        else:
            chaos.settle()

    def chaos(
        self,
        seed: int | None = None,
        *,
        schedule: Schedule | None = None,
        app: App | None = None,
        at_rest: Callable[[], None] = lambda: None,
    ) -> Chaos:
        """
        From now on deliveries are made by `settle()`, as the schedule says, or as drawn by lot from the seed.

        A seed also lets some of the app's calls fail. `finish()` of what is returned delivers all that is still owed;
        its `met` is the schedule of what came about, which can be printed and given here.
        """
        lot = None if seed is None else random.Random(seed)
        self._chaos = Chaos(self, schedule or Schedule(), app, lot=lot, at_rest=at_rest)
        return self._chaos

    def reset(self) -> None:
        """Forget everything: objects, events, endpoints, faults, the clock's offset, and chaos."""
        self._chaos = None
        self.calls.leave_alone()
        super().reset()

    def _unkind(self) -> Chaos | None:
        return None if self._chaos is None or self._chaos.is_over else self._chaos

    def _app(self, engine: Engine) -> ASGIApp:
        self.calls = Calls(super()._app(engine), KEY)
        return self.calls


def _submit(url: str, number: str, account: str | None) -> str:
    """Where the submitted page leads; the page's own address when it stays."""
    form = {"email": "payer@example.com"}
    if account is None:
        form |= {"cardNumber": number, "cardExpiry": "12/40", "cardCvc": "123", "billingName": "A Payer"}
    else:
        form |= {"paymentMethodType": "us_bank_account", "routingNumber": ROUTING, "accountNumber": account}
        form |= {"accountHolder": "A Payer"}
    answer = httpx.post(url, data=form, trust_env=False, verify=_tls())
    where = str(answer.headers.get("Location", url))
    return url if not answer.is_redirect or where.startswith("/") else where


def _open(url: str) -> object:
    return httpx.get(url, trust_env=False, timeout=30, verify=_tls())


@cache
def _tls() -> ssl.SSLContext:
    """One for all requests: reading the certificates takes longer than a page."""
    return httpx.create_ssl_context(trust_env=False)
