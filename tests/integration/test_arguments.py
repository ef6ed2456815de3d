"""What no verb can be given, and no route: it is refused by its name, before the database or Stripe are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe as sdk

from paidup import (
    Billing,
    BillingError,
    CheckoutNotFound,
    EventNotFound,
    InvalidOwner,
    InvalidRequest,
    InvoiceNotFound,
    QuoteNotFound,
    StripeUnavailable,
    UnknownDiscount,
)
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.calls import counted
from tests.support.go_between import GoBetween, a_go_between
from tests.support.host_app import HostApp
from tests.support.paying import pay

OWNER = "user:1"
NO_IDS: list[Any] = ["\0", "in_1\0", "\ud800", "in_1\n", "", "x" * 256, "x" * 1_000_000, 5, b"in_1", ["in_1"]]
"""What PostgreSQL cannot store or compare, and what is no text."""

VERBS: dict[str, tuple[Callable[[Billing, Any], object], type[BillingError]]] = {
    "change_plan": (lambda billing, given: billing.change_plan(OWNER, given), QuoteNotFound),
    "event": (lambda billing, given: billing.event(given), EventNotFound),
    "find_checkout": (lambda billing, given: billing.find_checkout(OWNER, given), CheckoutNotFound),
    "finish_checkout": (lambda billing, given: billing.finish_checkout(OWNER, given), CheckoutNotFound),
    "invoice_page": (lambda billing, given: billing.invoice_page(OWNER, given), InvoiceNotFound),
    "invoices": (lambda billing, given: billing.invoices(OWNER, before=given), InvoiceNotFound),
    "replay": (lambda billing, given: billing.replay(given), EventNotFound),
}

OF_A_GROUP: dict[str, Callable[[Billing, Any], object]] = {
    "cancel": lambda billing, group: billing.cancel(OWNER, group=group),
    "open_invoice": lambda billing, group: billing.open_invoice(OWNER, group=group),
    "pause": lambda billing, group: billing.pause(OWNER, group=group),
    "payment_url": lambda billing, group: billing.payment_url(OWNER, group=group),
    "portal": lambda billing, group: billing.portal(OWNER, group=group),
    "resume": lambda billing, group: billing.resume(OWNER, group=group),
    "retry_payment": lambda billing, group: billing.retry_payment(OWNER, group=group),
    "scheduled_change": lambda billing, group: billing.scheduled_change(OWNER, group=group),
    "subscription": lambda billing, group: billing.subscription(OWNER, group=group),
    "undo_change": lambda billing, group: billing.undo_change(OWNER, group=group),
    "unused": lambda billing, group: billing.unused(OWNER, group=group),
    "upcoming_invoice": lambda billing, group: billing.upcoming_invoice(OWNER, group=group),
}

POSTED: list[tuple[str, bytes, int]] = [
    ("change", b'{"quote":"\\u0000"}', 404),
    ("change", b'{"quote":"\\ud800"}', 422),
    ("change/preview", b'{"plan":"\\u0000"}', 422),
    ("change/preview", b'{"plan":"pro","interval":"\\u0000"}', 409),
    ("change/preview", b'{"plan":"pro","addons":{"\\u0000":1}}', 409),
    ("change/undo", b'{"group":"\\u0000"}', 422),
    ("checkout", b'{"plan":"\\u0000"}', 422),
    ("checkout", b'{"plan":"pro","interval":"\\u0000"}', 422),
    ("checkout", b'{"plan":"pro","addons":{"\\u0000":1}}', 422),
    ("cancel", b'{"comment":"a\\u0000b"}', 422),
    ("cancel", b'{"comment":"\\ud800"}', 422),
    ("cancel", b'{"feedback":"\\u0000"}', 422),
    ("cancel", b'{"group":"\\u0000"}', 422),
    ("cancel", b"\xff\xfe", 422),
    ("pause", b'{"group":"\\u0000"}', 422),
    ("pay", b'{"group":"\\u0000"}', 422),
    ("pay/retry", b'{"group":"\\u0000"}', 422),
    ("portal", b'{"group":"\\u0000"}', 422),
    ("resume", b'{"group":"\\u0000"}', 422),
]
FORMS = [("change", b"quote=%00", 404), ("cancel", b"comment=%00", 422), ("portal", b"group=%00", 422)]
GOTTEN = [
    ("change?group=%00", 422),
    ("invoices?before=%00", 404),
    ("invoices?before=in_%ED%A0%80", 404),
    ("invoices/%00", 404),
    ("invoices/%00/pdf", 404),
    ("return?session_id=%00", 404),
    ("upcoming-invoice?group=%00", 422),
]


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def between(stripe: Emulator) -> Iterator[GoBetween]:
    with a_go_between(stripe) as between:
        yield between


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_id_is_found_nowhere(make_billing: MakeBilling, verb: str) -> None:
    billing = make_billing()
    call, error = VERBS[verb]
    for given in NO_IDS:
        with pytest.raises(error) as refused:
            call(billing, given)
        assert refused.value.remedy
        assert len(str(refused.value)) < 300, "it is not quoted at length"


def test_what_is_no_customers_id_is_no_owner_either(make_billing: MakeBilling) -> None:
    billing = make_billing()
    for given in ("cus_\0", "cus_" + "x" * 300, "cus_\ud800"):
        with pytest.raises(InvalidOwner):
            billing.sync(given)


@pytest.mark.parametrize("verb", OF_A_GROUP)
def test_a_group_that_no_plan_is_in_is_refused_by_every_verb(
    make_billing: MakeBilling, stripe: Emulator, verb: str
) -> None:
    billing = make_billing()
    with counted(stripe) as calls:
        for group in ("nope", "", "\0", "x" * 100_000, 5):
            with pytest.raises(InvalidRequest, match="there is no plan group") as refused:
                OF_A_GROUP[verb](billing, group)
            assert refused.value.remedy == "name one of: main"
            assert len(str(refused.value)) < 300
        assert calls.count == 0


def test_over_http_it_is_a_mistake_of_the_caller(host_app: HostApp) -> None:
    json, form = "application/json", "application/x-www-form-urlencoded"
    posted = [(path, body, json, status) for path, body, status in POSTED]
    posted += [(path, body, form, status) for path, body, status in FORMS]
    with host_app.client(OWNER) as http:
        answers = {
            (path, body): (http.post(f"/billing/{path}", content=body, headers={"content-type": kind}), status)
            for path, body, kind, status in posted
        } | {(path, b""): (http.get(f"/billing/{path}"), status) for path, status in GOTTEN}
    assert {asked: answer.status_code for asked, (answer, _) in answers.items()} == {
        asked: status for asked, (_, status) in answers.items()
    }
    assert all(answer.json()["remedy"] for answer, _ in answers.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "not an email"},
        {"email": "Ada <ada@example.com>"},
        {"email": "a@b@example.com"},
        {"email": "ada@example.com\0"},
        {"email": "a" * 512 + "@example.com"},
        {"email": 5},
        {"name": "x" * 257},
        {"name": "Ada\0"},
        {"name": 5},
        {"embedded": "yes"},
        {"embedded": 1},
        {"embedded": None},
        {"promotion_code": 5},
        {"coupon": 5},
    ],
    ids=lambda wrong: f"{wrong}"[:40],
)
def test_a_purchase_that_cannot_be_is_refused_before_anything_is_made(
    billing: Billing, stripe: Emulator, wrong: dict[str, Any]
) -> None:
    """H65."""
    with pytest.raises(InvalidRequest) as refused:
        billing.checkout(OWNER, "pro", **wrong)
    assert refused.value.remedy
    assert stripe.events("customer.created") == []
    assert billing.checkout(OWNER, "pro", email="ada@example.com", name="Ada").url


@pytest.mark.parametrize("coupon", ["", "\0", "x" * 6000])
def test_what_is_no_coupons_id_is_an_unknown_discount(billing: Billing, coupon: str) -> None:
    with pytest.raises(UnknownDiscount):
        billing.checkout(OWNER, "pro", coupon=coupon)


def test_an_empty_email_is_none(billing: Billing, client: Any) -> None:
    """An app that keeps none may well have it so; Stripe takes no such address."""
    pay(str(billing.checkout(OWNER, "pro", email="", name="").url))
    billing.sync(OWNER)
    assert billing.update_customer(OWNER, email="ada@example.com")
    assert not billing.update_customer(OWNER, email="")
    [customer] = client.customers.list().data
    assert customer.email == "ada@example.com"


def test_a_name_or_email_that_cannot_be_never_becomes_the_customers(billing: Billing, client: Any) -> None:
    """H65."""
    billing.checkout(OWNER, "pro", email="ada@example.com", name="x" * 256)
    for wrong in ({"email": "nonsense"}, {"email": 5}, {"name": "x" * 257}, {"email": "ada@" + "x" * 600}):
        with pytest.raises(InvalidRequest):
            billing.update_customer(OWNER, **wrong)
    [customer] = client.customers.list().data
    assert (customer.email, customer.name) == ("ada@example.com", "x" * 256)


def test_an_email_that_only_stripe_refuses_is_the_callers_mistake_too(
    make_billing: MakeBilling, stripe: Emulator, between: GoBetween
) -> None:
    """Its rules for addresses are its own. The corrected call makes the customer."""
    billing = make_billing(api_base=between.url)
    billing.push_catalog()
    stripe.fail_next("/v1/customers", status=400)
    between.change = lambda answer: answer.replace(b'"error": {', b'"error": {"param": "email", ').replace(
        b'"error":{', b'"error":{"param":"email",'
    )
    with pytest.raises(InvalidRequest, match="email"):
        billing.checkout(OWNER, "pro", email="ada@example.invalid")
    assert billing.checkout(OWNER, "pro", email="ada@example.com").url


def test_a_page_that_stripe_will_not_end_is_not_asked_about_for_ever(
    make_billing: MakeBilling, stripe: Emulator, between: GoBetween
) -> None:
    """Each round of who loses against another tab costs calls, and may make a page: 239 of them, once."""
    billing = make_billing(api_base=between.url)
    billing.push_catalog()
    page = billing.checkout(OWNER, "pro")
    stripe.fail_next("/v1/checkout/sessions/*/expire", status=400, times=100_000)
    with pytest.raises(StripeUnavailable, match="try again"):
        billing.checkout(OWNER, "basic")
    assert between.calls.count(("POST", f"/v1/checkout/sessions/{page.session_id}/expire")) == 20
