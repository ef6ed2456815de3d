"""The webhook's way in: whatever else the app has in front of its routes, Stripe's POST reaches the signature check."""

# No postponed annotations here: FastAPI evaluates them.
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import stripe as sdk
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from paidup import Billing, Change
from paidup.web.fastapi import BillingRoutes
from stripe_emulator import Emulator
from tests.conftest import WEBHOOK_SECRET, MakeBilling
from tests.support.deliveries import signed
from tests.support.host_app import WEBHOOK_PATH, HostApp
from tests.support.paying import pay
from tests.support.serving import bound_socket, serving
from tests.support.waiting import eventually

OWNER = "user:1"
BOTH_FORMS = (WEBHOOK_PATH, WEBHOOK_PATH + "/")


def an_event(event_id: str = "evt_1", **more: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "object": "event",
        "type": "customer.updated",
        "api_version": "2026-10-28.endive",
        "created": 1_790_000_000,
        "livemode": False,
        "data": {"object": {"id": "cus_nobody", "object": "customer"}},
    } | more


def post(url: str, event: Any, *, secret: str = WEBHOOK_SECRET, **headers: str) -> httpx.Response:
    """As Stripe does: no cookie, no token, and no redirect is followed."""
    body = json.dumps(event, ensure_ascii=False).encode()
    return httpx.post(
        url,
        content=body,
        headers={
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signed(body, secret=secret),
            **headers,
        },
        timeout=30,
    )


@contextmanager
def served(billing: Billing, prepare: Callable[[FastAPI], None] = lambda app: None, **options: Any) -> Iterator[str]:
    app = FastAPI(**options)
    app.include_router(BillingRoutes(billing, owner=lambda: None).router, prefix="/billing")
    prepare(app)
    with serving(app, bound_socket()) as url:
        yield url


class Stamped(BaseHTTPMiddleware):
    """The usual kind of middleware, which wraps the request's stream."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """One request."""
        response = await call_next(request)
        response.headers["x-stamp"] = "1"
        return response


def everything_common(app: FastAPI) -> None:
    app.add_middleware(Stamped)
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example.com"], allow_credentials=True)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"])
    app.add_middleware(HTTPSRedirectMiddleware)


def somebody_signed_in(request: Request) -> None:
    if "session" not in request.cookies:
        raise HTTPException(401, "sign in first")


@pytest.mark.parametrize("redirect_slashes", [True, False])
def test_both_forms_of_the_address_answer_themselves(make_billing: MakeBilling, redirect_slashes: bool) -> None:
    """H23: Stripe takes a redirect for a failure; refusals, too, come from the route itself."""
    with served(make_billing(), redirect_slashes=redirect_slashes) as url:
        for number, path in enumerate(BOTH_FORMS):
            assert post(url + path, an_event(f"evt_{number}")).status_code == 200
            assert post(url + path, an_event(), secret="whsec_other").status_code == 400
            assert httpx.get(url + path).status_code == 405


def test_behind_a_proxy_with_everything_common_in_front_it_is_reached(make_billing: MakeBilling) -> None:
    """H24, H25: no cookie, no token; https ends at the proxy, which says so; the app's pages want a sign-in."""
    billing = make_billing()
    with served(billing, everything_common, dependencies=[Depends(somebody_signed_in)]) as url:
        proxied = {"X-Forwarded-Proto": "https"}
        assert httpx.get(url + "/billing/plans", headers=proxied).status_code == 401
        for number, path in enumerate(BOTH_FORMS):
            stored = post(url + path, an_event(f"evt_{number}", note="ü" * 40_000), **proxied)
            assert (stored.status_code, stored.headers["x-stamp"]) == (200, "1")
            refused = post(url + path, an_event(), secret="whsec_other", **proxied)
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_signature")
    assert len(billing.events()) == 2


def test_nothing_but_the_settings_changes_the_secret(
    make_billing: MakeBilling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H30: no header, query, cookie, field of the body, or variable set while the app runs."""
    billing = make_billing()
    names = ("secret", "webhook_secret", "stripe_webhook_secret", "djstripe_secret", "debug", "endpoint_secret")
    with served(billing) as url:
        for name in ("STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRETS", "WEBHOOK_SECRET", "WEBHOOK_SECRETS"):
            monkeypatch.setenv(name, "whsec_mine")
        for name in ("DEBUG", "STRIPE_DEBUG", "PAIDUP_DEBUG", "PAIDUP_ENV", "ENV", "TESTING"):
            monkeypatch.setenv(name, "1")
        query = "&".join(f"{name}=whsec_mine" for name in names)
        headers = {f"x-{name.replace('_', '-')}": "whsec_mine" for name in names} | {
            "Stripe-Webhook-Secret": "whsec_mine",
            "X-Stripe-Debug": "1",
            "Authorization": "Bearer whsec_mine",
            "Cookie": "; ".join(f"{name}=whsec_mine" for name in names),
            "X-Forwarded-For": "127.0.0.1",
        }
        body = an_event(**dict.fromkeys(names, "whsec_mine"))
        for secret in ("whsec_mine", "whsec_", "1"):
            refused = post(f"{url}{WEBHOOK_PATH}?{query}", body, secret=secret, **headers)
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_signature")
        assert post(f"{url}{WEBHOOK_PATH}?{query}", body, **headers).status_code == 200
    assert [each.id for each in billing.events()] == ["evt_1"]


FOREIGN = {
    "of another mode": (an_event(livemode=True), "other_mode"),
    "of another account": (an_event(account="acct_other"), "other_account"),
    "of a kind nobody wants": (an_event(type="topup.created"), "unknown_type"),
    "of a kind yet to be invented": (an_event(type="customer.teleported"), "unknown_type"),
    "of nobody": (an_event(type="invoice.paid", data={"object": {"id": "in_1", "object": "invoice"}}), "no_customer"),
    "of another app's customer": (an_event(), "foreign_customer"),
    "thin, of a kind nobody wants": (
        {"id": "evt_1", "object": "v2.core.event", "type": "v2.core.event_destination.ping", "livemode": False},
        "unknown_type",
    ),
    "thin, without an object": (
        {
            "id": "evt_1",
            "object": "v2.core.event",
            "type": "v1.invoice.paid",
            "livemode": False,
            "related_object": None,
        },
        "no_object",
    ),
}


def test_what_is_not_ours_is_answered_with_2xx_and_kept_with_its_reason(
    make_billing: MakeBilling, caplog: pytest.LogCaptureFixture
) -> None:
    """H18, H19, H43: nobody retries it, no row is made of it, and it alarms nobody."""
    billing = make_billing()
    with served(billing) as url, caplog.at_level("WARNING"):
        for name, (event, _) in FOREIGN.items():
            for _ in range(2):
                assert post(url + WEBHOOK_PATH, event | {"id": name}).status_code == 200, name
                billing.run_until_idle()
    stored = {each.id: (each.state, each.reason, each.deliveries) for each in billing.events()}
    assert stored == {name: ("ignored", reason, 2) for name, (_, reason) in FOREIGN.items()}
    assert (billing.customer(OWNER), billing.queue(), caplog.records) == (None, [], [])


def test_twenty_deliveries_at_once_have_one_effect(host_app: HostApp, stripe: Emulator) -> None:
    """H3, H5: each event twenty times at once, `created` beside `updated`; all 2xx, and no row is there twice."""
    told: Counter[str] = Counter()

    @host_app.billing.on_change()
    def count(change: Change) -> None:
        told[change.kind] += 1

    stripe.deliveries.pause()
    pay(str(host_app.billing.checkout(OWNER, "pro").url))
    [created] = stripe.events("customer.subscription.created")
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    client.v1.subscriptions.update(created["data"]["object"]["id"], {"metadata": {"seen": "1"}})
    events = [created, *stripe.events("customer.subscription.updated"), *stripe.events("invoice.paid")]
    assert len(events) == 3
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda event: post(host_app.webhook_url, event), events * 20))
    assert {answer.status_code for answer in answers} == {200}
    assert Counter(answer.json()["state"] for answer in answers)["pending"] == len(events)
    eventually(lambda: host_app.billing.access(OWNER).plan == "pro" and not host_app.billing.queue())
    eventually(lambda: told["subscription.started"] and told["invoice.paid"] and told["credits.granted"])
    assert len(host_app.billing.invoices(OWNER)) == 1
    assert told == {"subscription.started": 1, "invoice.paid": 1, "credits.granted": 1}
