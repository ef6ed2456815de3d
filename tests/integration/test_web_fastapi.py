"""The routes and the gate over real HTTP, as a browser, a program, Stripe and an attacker meet them."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from paidup import Access, AccessRefused, Billing, Owner
from paidup.core.catalog import CheckoutTerms
from paidup.web.fastapi import BillingRoutes
from stripe_emulator import Emulator
from tests.conftest import WEBHOOK_SECRET, MakeBilling
from tests.support import host_app as host
from tests.support.deliveries import signed
from tests.support.host_app import HostApp
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
OTHER = "user:2"
WEBHOOK = host.WEBHOOK_PATH
PROBLEM = "application/problem+json"
MANAGED = [
    f"/billing/{each}"
    for each in (
        "checkout",
        "portal",
        "portal/customer",
        "portal/payment-method",
        "portal/subscription-pause",
        "portal/subscription-update-confirm",
        "cancel",
        "resume",
        "pause",
        "pay",
        "pay/retry",
    )
]
"""Where only who may manage billing may post, from the app's own pages."""
PLAIN = (
    "pay",
    "pay/retry",
    "portal",
    "portal/payment-method",
    "portal/subscription-cancel",
    "portal/subscription-update",
    "resume",
)
"""Where nothing is said but the group."""


def an_event(event_id: str = "evt_1", **more: Any) -> dict[str, Any]:
    """An event of a customer nobody knows: it is stored, and nothing has to be fetched for a test."""
    return {
        "id": event_id,
        "object": "event",
        "type": "customer.updated",
        "api_version": "2026-10-28.endive",
        "created": 1_790_000_000,
        "livemode": False,
        "data": {"object": {"id": "cus_nobody", "object": "customer"}},
    } | more


def send(
    client: httpx.Client,
    body: bytes,
    *,
    secret: str = WEBHOOK_SECRET,
    at: datetime | None = None,
    path: str = WEBHOOK,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    signature = {"Stripe-Signature": signed(body, secret=secret, at=at)}
    return client.post(path, content=body, headers={**(headers or {}), **signature})


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    found: dict[str, Any] = response.json()
    assert (found["status"], found["code"]) == (status, code)
    return found


@pytest.fixture
def stripe_side(host_app: HostApp) -> Iterator[httpx.Client]:
    with host_app.client() as client:
        yield client


@pytest.fixture
def user(host_app: HostApp) -> Iterator[httpx.Client]:
    with host_app.client(OWNER) as client:
        yield client


def ask(app: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to an app that is not served: no lifespan, and so no worker."""

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **more)

    return asyncio.run(go())


class TestWebhook:
    def test_an_event_is_stored_before_it_is_answered(self, stripe_side: httpx.Client, billing: Billing) -> None:
        response = send(stripe_side, json.dumps(an_event()).encode())
        assert (response.status_code, response.json()["state"]) == (200, "pending")
        assert billing.event("evt_1").type == "customer.updated"

    @pytest.mark.hazard(31)
    def test_a_repeated_event_is_accepted_and_stored_once(self, stripe_side: httpx.Client, billing: Billing) -> None:
        body = json.dumps(an_event()).encode()
        answers = [send(stripe_side, body) for _ in range(2)]
        assert [each.status_code for each in answers] == [200, 200]
        assert answers[1].json()["state"] == "duplicate"
        assert len(billing.events()) == 1

    def test_an_event_of_no_interest_is_accepted(self, stripe_side: httpx.Client) -> None:
        response = send(stripe_side, json.dumps(an_event(type="topup.created")).encode())
        assert (response.status_code, response.json()["state"]) == (200, "ignored")

    def test_both_forms_of_the_address_are_the_route_itself(self, stripe_side: httpx.Client) -> None:
        for number, path in enumerate((WEBHOOK, WEBHOOK + "/")):
            assert send(stripe_side, json.dumps(an_event(f"evt_{number}")).encode(), path=path).status_code == 200

    @pytest.mark.hazard(25)
    def test_the_signature_is_that_of_the_raw_bytes(self, stripe_side: httpx.Client) -> None:
        bodies = [
            json.dumps(an_event("evt_1", note="Zoë 支払い ✓"), ensure_ascii=False).encode(),
            json.dumps(an_event("evt_2", note="Zoë")).encode(),
            json.dumps(an_event("evt_3"), indent=4).encode() + b"\r\n \n",
            json.dumps(an_event("evt_4", amount=0.30000000000000004), separators=(" ,", " : ")).encode(),
            json.dumps(an_event("evt_5", note="x" * 600_000)).encode(),
        ]
        assert [send(stripe_side, body).json().get("state") for body in bodies] == ["pending"] * 5

    @pytest.mark.hazard(25)
    def test_a_body_may_come_in_chunks(self, stripe_side: httpx.Client) -> None:
        body = json.dumps(an_event(note="ü" * 100), ensure_ascii=False).encode()
        pieces = (body[start : start + 7] for start in range(0, len(body), 7))
        headers = {"Stripe-Signature": signed(body, secret=WEBHOOK_SECRET)}
        response = stripe_side.post(WEBHOOK, content=pieces, headers=headers)
        assert response.status_code == 200

    @pytest.mark.hazard(28)
    def test_an_unsigned_body_leaves_no_row(self, stripe_side: httpx.Client, billing: Billing) -> None:
        response = stripe_side.post(WEBHOOK, content=json.dumps(an_event()))
        assert "Stripe-Signature header is missing" in problem(response, 400, "invalid_signature")["detail"]
        assert billing.events() == []

    @pytest.mark.hazard(29)
    def test_a_body_signed_with_another_secret_is_refused_and_told_in_the_log(
        self, stripe_side: httpx.Client, billing: Billing, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "paidup"):
            response = send(stripe_side, json.dumps(an_event()).encode(), secret="whsec_of_the_cli")
        found = problem(response, 400, "invalid_signature")
        assert "none of the 1 configured secrets" in found["detail"]
        assert "none of the 1 configured secrets" in caplog.text
        assert "whsec_" not in response.text + caplog.text
        assert billing.events() == []

    @pytest.mark.hazard(26)
    @pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(hours=-1)], ids=["past", "future"])
    def test_a_skew_is_told_in_seconds(self, stripe_side: httpx.Client, billing: Billing, age: timedelta) -> None:
        response = send(stripe_side, json.dumps(an_event()).encode(), at=datetime.now(UTC) - age)
        detail = problem(response, 400, "invalid_signature")["detail"]
        assert any(f"{seconds} seconds" in detail for seconds in range(3590, 3611))
        assert billing.events() == []

    @pytest.mark.hazard(30)
    def test_nothing_in_a_request_changes_the_secret(self, stripe_side: httpx.Client, billing: Billing) -> None:
        body = json.dumps(an_event()).encode()
        extra = {"X-Webhook-Secret": "whsec_mine", "Stripe-Webhook-Secret": "whsec_mine", "X-Debug": "1"}
        path = WEBHOOK + "?secret=whsec_mine&webhook_secret=whsec_mine&debug=1"
        problem(send(stripe_side, body, secret="whsec_mine", path=path, headers=extra), 400, "invalid_signature")
        assert billing.events() == []

    def test_a_signed_body_that_is_no_event_is_refused(self, stripe_side: httpx.Client, billing: Billing) -> None:
        for body in (b"", b"hello", b"[]", b"{}", b'{"object": "charge"}', b"null", b"[" * 50_000):
            problem(send(stripe_side, body), 400, "invalid_payload")
        assert billing.events() == []

    def test_a_thin_event_is_accepted(self, stripe_side: httpx.Client, billing: Billing) -> None:
        body = {
            "id": "evt_thin",
            "object": "v2.core.event",
            "type": "v1.customer.updated",
            "created": "2026-11-22T12:00:00.000Z",
            "livemode": False,
            "related_object": {"id": "cus_nobody", "type": "customer", "url": "/v1/customers/cus_nobody"},
        }
        assert send(stripe_side, json.dumps(body).encode()).status_code == 200
        assert len(billing.events()) == 1

    def test_a_body_larger_than_any_event_is_refused(self, stripe_side: httpx.Client, billing: Billing) -> None:
        body = json.dumps(an_event(note="x" * 1_048_576)).encode()
        problem(send(stripe_side, body), 413, "payload_too_large")
        assert billing.events() == []

    def test_a_body_without_end_is_not_read_to_its_end(self, make_billing: MakeBilling) -> None:
        app = host.build(make_billing(webhook_max_bytes=65_536))
        read = 0

        async def endless() -> Any:
            nonlocal read
            while read < 50_000_000:
                read += 65_536
                yield b"x" * 65_536

        problem(ask(app, "POST", WEBHOOK, content=endless()), 413, "payload_too_large")
        assert read <= 3 * 65_536

    def test_without_a_database_stripe_is_asked_to_come_again(self, make_billing: MakeBilling) -> None:
        app = host.build(make_billing(database_url="postgresql://nobody@127.0.0.1:1/nowhere"))
        body = json.dumps(an_event()).encode()
        headers = {"Stripe-Signature": signed(body, secret=WEBHOOK_SECRET)}
        response = ask(app, "POST", WEBHOOK, content=body, headers=headers)
        problem(response, 503, "database_unavailable")
        assert int(response.headers["retry-after"]) > 0


class TestCheckout:
    def test_a_form_goes_on_to_stripe(self, user: httpx.Client, stripe: Emulator) -> None:
        response = user.post("/billing/checkout", data={"plan": "pro", "interval": "year"})
        assert response.status_code == 303
        assert response.headers["location"].startswith(stripe.url)
        assert response.headers["cache-control"] == "no-store"

    def test_a_program_gets_the_address(self, user: httpx.Client, stripe: Emulator) -> None:
        response = user.post("/billing/checkout", json={"plan": "team", "interval": "month", "seats": 3})
        assert response.status_code == 200
        assert response.json()["url"].startswith(stripe.url)

    @pytest.mark.hazard(55)
    def test_any_other_field_is_refused(self, user: httpx.Client, stripe: Emulator) -> None:
        for field in ("price", "amount", "quantity", "coupon", "trial_days", "currency", "owner", "customer", "Plan"):
            sent = {"plan": "pro", field: "1"}
            for response in (user.post("/billing/checkout", data=sent), user.post("/billing/checkout", json=sent)):
                assert field in problem(response, 422, "invalid_request")["detail"]
        assert stripe.events("customer.created") == []

    @pytest.mark.hazard(55)
    def test_a_value_that_cannot_be_is_refused(self, user: httpx.Client, stripe: Emulator) -> None:
        refused: list[tuple[object, str]] = [
            ({}, "invalid_request"),
            ([], "invalid_request"),
            ({"plan": ""}, "invalid_request"),
            ({"plan": ["pro"]}, "invalid_request"),
            ({"plan": "price_1"}, "unknown_plan"),
            ({"plan": "free"}, "plan_not_for_sale"),
            ({"plan": "pro", "interval": "week"}, "unknown_interval"),
            ({"plan": "pro", "seats": 0}, "invalid_request"),
            ({"plan": "pro", "seats": -1}, "invalid_request"),
            ({"plan": "pro", "seats": 1.5}, "invalid_request"),
            ({"plan": "pro", "seats": 1_000_000_000}, "invalid_request"),
            ({"plan": "pro", "seats": 2}, "invalid_seats"),
            ({"plan": "pro", "promotion_code": "SPRING"}, "invalid_request"),
            ({"plan": "team", "seats": 51}, "invalid_seats"),
        ]
        for sent, code in refused:
            problem(user.post("/billing/checkout", json=sent), 422, code)
        assert stripe.events("customer.created") == []

    @pytest.mark.hazard(55)
    def test_a_browser_names_a_code_where_buyers_may_type_one(
        self, billing: Billing, make_billing: MakeBilling, stripe: Emulator
    ) -> None:
        terms = replace(billing.catalog, checkout=CheckoutTerms(promotion_codes=True))
        sent = {"json": {"plan": "pro", "promotion_code": "SPRING"}, "headers": {host.OWNER_HEADER: OWNER}}
        found = ask(host.build(make_billing(catalog=terms)), "POST", "/billing/checkout", **sent)
        problem(found, 422, "unknown_discount")

    def test_a_page_inside_the_apps_own_gets_its_secret(self, user: httpx.Client) -> None:
        found = user.post("/billing/checkout", json={"plan": "pro", "embedded": True}).json()
        assert set(found) == {"client_secret", "session"}
        assert found["client_secret"].startswith(found["session"])

    def test_a_body_that_is_neither_form_nor_json_is_refused(self, user: httpx.Client) -> None:
        bodies = [
            (b"plan=pro&plan=team", "application/x-www-form-urlencoded"),
            (b'{"plan": "pro"', "application/json"),
            (b'{"plan": "pro"}', "text/plain"),
            (b"\xff\xfe", "application/json"),
        ]
        for body, content_type in bodies:
            response = user.post("/billing/checkout", content=body, headers={"Content-Type": content_type})
            problem(response, 422, "invalid_request")

    def test_a_body_that_is_far_too_large_is_refused(self, user: httpx.Client) -> None:
        problem(user.post("/billing/checkout", data={"plan": "p" * 20_000}), 413, "payload_too_large")

    def test_nobody_is_asked_to_sign_in(self, stripe_side: httpx.Client) -> None:
        problem(stripe_side.post("/billing/checkout", data={"plan": "pro"}), 401, "not_signed_in")

    def test_a_second_subscription_is_refused_with_the_way_on(self, user: httpx.Client) -> None:
        subscribe(user)
        found = problem(user.post("/billing/checkout", json={"plan": "team", "seats": 2}), 409, "checkout_refused")
        assert (found["action"], found["plan"]) == ("change_plan", "pro")
        assert found["upgrade_url"].endswith("/pricing")

    def test_without_stripe_a_program_is_told_when_to_come_again(self, user: httpx.Client, stripe: Emulator) -> None:
        stripe.fail_next("/v1/*", status=500, times=50)
        response = user.post("/billing/checkout", json={"plan": "pro"})
        problem(response, 503, "stripe_unavailable")
        assert int(response.headers["retry-after"]) > 0


class TestEnding:
    def test_a_form_leads_back_to_the_billing_page(self, user: httpx.Client, billing: Billing) -> None:
        subscribe(user)
        empty = {"feedback": "", "comment": "", "group": ""}
        for path, sent, canceling in (("cancel", empty, True), ("resume", {}, False)):
            response = user.post(f"/billing/{path}", data=sent)
            assert (response.status_code, response.headers["location"]) == (303, billing.settings.portal_return)
            assert billing.access(OWNER).is_canceling is canceling

    def test_a_program_is_told_how_the_subscription_stands(self, user: httpx.Client, stripe: Emulator) -> None:
        subscribe(user)
        sent = {"when": "period_end", "feedback": "unused", "comment": "Goodbye.", "group": "main"}
        found = user.post("/billing/cancel", json=sent).json()
        assert (found["plan"], found["canceling"], found["renews_at"]) == ("pro", True, None)
        assert datetime.fromisoformat(found["ends_at"]) > datetime.now(UTC)
        assert stripe.get(found["id"])["cancellation_details"]["feedback"] == "unused"
        assert user.post("/billing/resume", json={}).json()["canceling"] is False
        until = (datetime.now(UTC) + timedelta(days=20)).replace(microsecond=0).isoformat()
        found = user.post("/billing/pause", json={"until": until}).json()
        assert (found["paused"], found["resumes_at"]) == (True, until)
        found = user.post("/billing/cancel", json={"when": "now"}).json()
        assert (found["status"], found["canceling"]) == ("canceled", False)
        assert problem(user.post("/billing/resume", json={}), 409, "subscription_refused")["action"] == "checkout"

    @pytest.mark.hazard(55)
    def test_a_field_or_value_that_cannot_be_is_refused(self, user: httpx.Client, stripe: Emulator) -> None:
        subscribe(user)
        refused = [
            ("cancel", {"subscription": "sub_1"}),
            ("cancel", {"refund": "1"}),
            ("cancel", {"when": "tomorrow"}),
            ("cancel", {"feedback": "too_ugly"}),
            ("cancel", {"comment": "x" * 1001}),
            ("cancel", {"group": "sub_1"}),
            ("resume", {"owner": OTHER}),
            ("pause", {"behavior": "keep_as_draft"}),
            ("pause", {"until": "2040-01-01T00:00:00"}),
            ("pause", {"until": "2020-01-01T00:00:00Z"}),
            ("pause", {"until": "9999-12-31T23:59:59-12:00"}),
            ("pause", {"until": "99999999999"}),
            ("pause", {"kind": "both"}),
            ("pause", {"kind": "subscription", "until": "2027-01-01T00:00:00Z"}),
            *((path, {"invoice": "in_1"}) for path in PLAIN),
            *((path, {"group": "sub_1"}) for path in PLAIN),
        ]
        for path, sent in refused:
            for response in (user.post(f"/billing/{path}", data=sent), user.post(f"/billing/{path}", json=sent)):
                problem(response, 422, "invalid_request")
        assert stripe.events("customer.subscription.updated") == []

    @pytest.mark.hazard(55)
    def test_a_body_that_is_too_large_or_of_no_known_kind_is_refused(
        self, user: httpx.Client, stripe: Emulator
    ) -> None:
        """A body of another kind was once read as an empty one: a program meant `now`, and was heard to say nothing."""
        subscribe(user)
        for path in (*PLAIN, "cancel", "pause"):
            large = user.post(f"/billing/{path}", content=b"x" * 200_000, headers={"content-type": "application/json"})
            problem(large, 413, "payload_too_large")
            for kind in ("text/plain;charset=UTF-8", "application/xml", ""):
                odd = user.post(f"/billing/{path}", content=b'{"when":"now"}', headers={"content-type": kind})
                problem(odd, 422, "invalid_request")
        assert stripe.events("customer.subscription.updated") == []

    def test_an_empty_body_says_nothing_whatever_it_is_called(self, user: httpx.Client) -> None:
        subscribe(user)
        for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
            assert user.post("/billing/resume", content=b"", headers={"content-type": kind}).status_code in (200, 303)
        assert user.post("/billing/portal", headers={"accept": "application/json"}).json()["url"]

    def test_a_pause_of_the_other_kind_stops_the_subscription(self, user: httpx.Client) -> None:
        subscribe(user)
        found = user.post("/billing/pause", json={"kind": "subscription"}).json()
        assert (found["status"], found["paused"]) == ("paused", True)
        assert user.post("/billing/resume", json={}).json()["status"] == "active"

    def test_nobody_ends_what_is_somebody_elses(self, user: httpx.Client, host_app: HostApp, billing: Billing) -> None:
        subscribe(user)
        with host_app.client(OTHER) as other:
            for path in ("cancel", "resume", "pause"):
                problem(other.post(f"/billing/{path}", json={}), 409, "subscription_refused")
        assert billing.access(OWNER).status == "active"
        assert not billing.access(OWNER).is_canceling


class TestOrigin:
    def test_another_sites_form_is_refused(self, user: httpx.Client) -> None:
        elsewhere = [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
        ]
        for path in MANAGED:
            for headers in elsewhere:
                problem(user.post(path, data={"plan": "pro"}, headers=headers), 403, "cross_origin")

    def test_our_own_form_passes(self, user: httpx.Client, host_app: HostApp) -> None:
        own = {"Sec-Fetch-Site": "same-origin", "Origin": host_app.url}
        assert user.post("/billing/checkout", data={"plan": "pro"}, headers=own).status_code == 303


class TestReturn:
    @pytest.mark.hazard(51)
    def test_the_plan_is_there_before_the_webhook(self, user: httpx.Client, stripe: Emulator) -> None:
        stripe.deliveries.pause()
        response = subscribe(user)
        assert response.status_code == 303
        assert parse_qs(urlsplit(response.headers["location"]).query)["state"] == ["complete"]
        assert user.get("/billing/access").json()["plan"] == "pro"
        assert user.get("/reports").status_code == 200

    @pytest.mark.hazard(52)
    def test_a_session_that_was_not_paid_grants_nothing(self, user: httpx.Client) -> None:
        session_id = session_of(start(user))
        response = user.get("/billing/return", params={"session_id": session_id})
        assert parse_qs(urlsplit(response.headers["location"]).query)["state"] == ["open"]
        assert user.get("/billing/access").json()["plan"] == "free"

    @pytest.mark.hazard(37)
    @pytest.mark.hazard(52)
    def test_somebody_elses_session_is_not_found(self, user: httpx.Client, host_app: HostApp) -> None:
        back = pay(start(user))
        with host_app.client(OTHER) as thief:
            problem(thief.get(back), 404, "checkout_not_found")
            assert thief.get("/billing/access").json()["plan"] == "free"

    @pytest.mark.hazard(52)
    def test_a_made_up_session_is_not_found(self, user: httpx.Client) -> None:
        for session_id in ("", "cs_test_made_up", "x" * 5000, "../../v1/customers", "{CHECKOUT_SESSION_ID}"):
            problem(user.get("/billing/return", params={"session_id": session_id}), 404, "checkout_not_found")

    def test_what_the_address_says_of_the_state_grants_nothing(self, user: httpx.Client) -> None:
        user.get("/", params={"checkout": "cs_test_made_up", "state": "complete"})
        assert user.get("/billing/access").json()["plan"] == "free"

    def test_the_apps_page_keeps_its_own_query(self, make_billing: MakeBilling) -> None:
        billing = make_billing(checkout_done="/welcome?tab=plan#top")
        billing.push_catalog()
        session_id = billing.checkout(OWNER, "pro").session_id
        headers = {host.OWNER_HEADER: OWNER}
        response = ask(host.build(billing), "GET", f"/billing/return?session_id={session_id}", headers=headers)
        assert response.headers["location"] == f"/welcome?tab=plan&checkout={session_id}&state=open#top"


class TestOwnThingsOnly:
    """H39: everything is looked up from who is signed in."""

    @pytest.mark.hazard(39)
    def test_the_portal_is_the_callers(self, user: httpx.Client, host_app: HostApp) -> None:
        subscribe(user)
        customer = host_app.billing.customer(OWNER)
        assert customer is not None
        with host_app.client(OTHER) as thief:
            for path in ("/billing/portal", "/billing/portal/payment-method"):
                for named in ({"customer": customer.id}, {"owner": OWNER}):
                    problem(thief.post(path, data=named), 422, "invalid_request")
                    found = problem(thief.post(path, params=named), 404, "customer_not_found")
                    assert found["upgrade_url"].endswith("/pricing")

    @pytest.mark.hazard(39)
    def test_invoices_are_the_callers(self, user: httpx.Client, host_app: HostApp) -> None:
        subscribe(user)
        assert [each["status"] for each in user.get("/billing/invoices").json()] == ["paid"]
        with host_app.client(OTHER) as thief:
            assert thief.get("/billing/invoices", params={"owner": OWNER}).json() == []

    @pytest.mark.hazard(39)
    def test_access_is_the_callers(self, user: httpx.Client, host_app: HostApp) -> None:
        subscribe(user)
        named = {"owner": OWNER, "customer": "cus_1"}
        with host_app.client(OTHER) as thief:
            assert thief.get("/billing/access", params=named).json()["plan"] == "free"
            problem(thief.get("/reports", params=named), 402, "feature_not_in_plan")

    @pytest.mark.hazard(40)
    def test_whether_somebody_manages_billing_has_to_be_said(self) -> None:
        with pytest.raises(TypeError, match="manages_billing"):
            Owner(OWNER)  # type: ignore[call-arg]  # that is what is shown

    @pytest.mark.hazard(40)
    def test_who_may_not_manage_billing_is_refused(self, host_app: HostApp) -> None:
        with host_app.client(OWNER, role="member") as member:
            problem(member.get("/billing/invoices"), 403, "not_allowed")
            for path in MANAGED:
                problem(member.post(path, data={"plan": "pro"}), 403, "not_allowed")

    def test_who_is_not_signed_in_is_told_so(self, stripe_side: httpx.Client) -> None:
        for path in ("/billing/return", "/billing/access", "/billing/invoices", "/reports"):
            problem(stripe_side.get(path), 401, "not_signed_in")
        for path in (*MANAGED, "/projects"):
            problem(stripe_side.post(path), 401, "not_signed_in")

    def test_the_plans_are_for_everybody(self, stripe_side: httpx.Client) -> None:
        plans = stripe_side.get("/billing/plans").json()
        assert [each["key"] for each in plans] == ["free", "basic", "pro", "team"]
        costs = {"amount": 2900, "currency": "usd", "amounts": {"usd": 2900}}
        assert {"interval": "month", **costs, "credits": {"tokens": 1000}} in plans[2]["prices"]
        assert "lookup_key" not in json.dumps(plans)

    def test_the_portal_opens_for_a_customer(self, user: httpx.Client, stripe: Emulator) -> None:
        subscribe(user)
        assert user.post("/billing/portal").headers["location"].startswith(stripe.url)
        as_program = user.post("/billing/portal/payment-method", headers={"Accept": "application/json"})
        assert as_program.json()["url"].startswith(stripe.url)

    def test_the_portal_opens_at_the_billing_details(self, user: httpx.Client) -> None:
        subscribe(user)
        opened = httpx.get(user.post("/billing/portal/customer").headers["location"], follow_redirects=True)
        assert "save-details" in opened.text

    def test_the_portal_opens_at_one_change_for_a_form_and_for_a_program(self, user: httpx.Client) -> None:
        subscribe(user)
        path = "/billing/portal/subscription-update-confirm"
        form = user.post(path, data={"plan": "pro", "interval": "year", "seats": "", "promotion_code": ""})
        assert "$290.00" in httpx.get(form.headers["location"], follow_redirects=True).text
        program = user.post(path, json={"plan": "basic"})
        assert "$9.00" in httpx.get(program.json()["url"], follow_redirects=True).text

    def test_a_change_in_the_portal_names_keys_and_numbers_alone(self, user: httpx.Client) -> None:
        """No price, and no code where buyers may type none."""
        subscribe(user)
        path = "/billing/portal/subscription-update-confirm"
        for more in ({"price": "price_1"}, {"coupon": "half"}, {"promotion_code": "HALF"}, {"seats": "0"}):
            problem(user.post(path, data={"plan": "basic"} | more), 422, "invalid_request")

    def test_a_pause_in_the_portal_is_refused_with_the_way_on_where_it_is_off(self, user: httpx.Client) -> None:
        subscribe(user)
        found = problem(user.post("/billing/portal/subscription-pause"), 409, "subscription_refused")
        assert found["action"] == "pause"


class TestGate:
    def test_a_feature_of_another_plan_is_refused_with_the_plans_that_have_it(
        self, user: httpx.Client, host_app: HostApp
    ) -> None:
        found = problem(user.get("/reports"), 402, "feature_not_in_plan")
        assert (found["feature"], found["plan"], found["plans"]) == ("reports", "free", ["pro", "team"])
        assert found["upgrade_url"] == host_app.url + "/pricing"

    def test_a_limit_is_refused_with_its_numbers(self, user: httpx.Client) -> None:
        assert user.post("/projects", params={"used": 1}).status_code == 200
        found = problem(user.post("/projects", params={"used": 2}), 402, "limit_reached")
        assert (found["limit"], found["allowed"], found["used"]) == ("projects", 2, 2)
        assert found["plans"] == ["basic", "pro", "team"]

    def test_payment_opens_the_gate(self, user: httpx.Client) -> None:
        subscribe(user)
        assert user.get("/reports").json() == {"plan": "pro"}
        assert user.post("/projects", params={"used": 49}).status_code == 200

    @pytest.mark.hazard(107)
    def test_the_gate_stays_shut_without_a_database(self, make_billing: MakeBilling) -> None:
        app = host.build(make_billing(database_url="postgresql://nobody@127.0.0.1:1/nowhere"))
        response = ask(app, "GET", "/reports", headers={host.OWNER_HEADER: OWNER})
        problem(response, 503, "database_unavailable")
        assert "retry-after" in response.headers

    def test_the_apps_own_handler_answers_in_its_own_way(self, billing: Billing) -> None:
        app = host.build(billing)

        @app.exception_handler(AccessRefused)
        async def upgrade(_request: Request, error: Exception) -> PlainTextResponse:
            assert isinstance(error, AccessRefused)
            return PlainTextResponse(f"choose {' or '.join(error.plans)}", 402)

        headers = {host.OWNER_HEADER: OWNER}
        assert ask(app, "GET", "/reports", headers=headers).text == "choose pro or team"
        problem(ask(app, "GET", "/reports"), 401, "not_signed_in")

    @pytest.mark.parametrize("make", [lambda r: r.requires("rockets"), lambda r: r.requires_limit("rockets", int)])
    def test_a_name_that_is_not_in_the_plans_file_fails_when_the_app_starts(
        self, make_billing: MakeBilling, make: Callable[[BillingRoutes], object]
    ) -> None:
        routes = BillingRoutes(make_billing(), owner=lambda: None)
        with pytest.raises(ValueError, match=r"'rockets' in the plans file; it has: (reports, sso|projects)"):
            make(routes)

    def test_an_async_owner_and_postponed_annotations_work(self, billing: Billing) -> None:
        async def owner() -> Owner:
            await asyncio.sleep(0)
            return Owner(OWNER, manages_billing=True)

        routes = BillingRoutes(billing, owner=owner)
        app = FastAPI()
        names: dict[str, Any] = {"app": app, "routes": routes, "Annotated": Annotated, "Access": Access}
        exec(
            "from __future__ import annotations\n"
            "@app.get('/projects')\n"
            "def projects(access: Annotated[Access, routes.requires_limit('projects', lambda: 1)]) -> str:\n"
            "    return access.plan\n",
            names,
        )
        assert ask(app, "GET", "/projects").json() == "free"


class TestLifespan:
    def test_the_worker_runs_beside_the_app(self, user: httpx.Client) -> None:
        pay(start(user))
        eventually(lambda: user.get("/billing/access").json()["plan"] == "pro")

    def test_the_worker_may_run_elsewhere(self, make_billing: MakeBilling) -> None:
        billing = make_billing(worker="outside")
        billing.receive(body := json.dumps(an_event()).encode(), signed(body, secret=WEBHOOK_SECRET))
        routes = BillingRoutes(billing, owner=lambda: None)

        async def live() -> None:
            async with routes.lifespan(object()):
                await asyncio.sleep(0.5)

        asyncio.run(live())
        assert billing.event("evt_1").state == "pending"


def start(user: httpx.Client, plan: str = "pro") -> str:
    response = user.post("/billing/checkout", json={"plan": plan})
    assert response.status_code == 200, response.text
    return str(response.json()["url"])


def session_of(url: str) -> str:
    return urlsplit(url).path.rsplit("/", 1)[-1]


def subscribe(user: httpx.Client, plan: str = "pro") -> httpx.Response:
    """Pay at Stripe and come back, as a browser does; the answer of the return page."""
    return user.get(pay(start(user, plan)))
