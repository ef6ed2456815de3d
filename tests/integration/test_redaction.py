"""What is written down for people to read: ids and reasons, never keys, cards, or somebody's address."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import MetaData, select

from paidup import Billing, BillingError, Change, InvalidSignature, StripeError
from paidup.database.engine import Database
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.deliveries import a_hurrying_clock, deliver, signed
from tests.support.paying import GOOD_CARD, pay

OWNER = "user:1"
EMAIL = "ada.lovelace@example.com"
KEY, SECRET, OLD_SECRET = "sk_test_hunter2hunter2", "whsec_hunter2hunter2", "whsec_swordfish"
NEVER = (KEY, "hunter2", SECRET, "swordfish", GOOD_CARD, "4242", EMAIL, "ada.lovelace", "Lovelace")
PERSONAL = {"payload", "snapshot", "email", "name", "params"}
"""Columns that are there to hold what Stripe holds; `PAIDUP_KEEP_PAYLOADS=false` empties the first."""


@pytest.fixture
def billing(make_billing: MakeBilling) -> Billing:
    billing = make_billing(
        secret_key=KEY, webhook_secrets=f"{SECRET},{OLD_SECRET}", clock=a_hurrying_clock(), keep_payloads=False
    )
    billing.push_catalog()
    return billing


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def everything_goes_wrong(billing: Billing, stripe: Emulator) -> list[str]:
    """A life with all the mishaps that are logged or recorded; what was raised on the way."""
    raised: list[str] = []

    def provoke(act: Any, *values: Any, **more: Any) -> None:
        with pytest.raises(BillingError) as error:
            act(*values, **more)
        raised.extend((repr(error.value.as_dict()), *traceback.format_exception(error.value)))

    @billing.on_change()
    def fails(change: Change) -> None:
        raise RuntimeError("the mail server is away")

    provoke(billing.checkout, OWNER, "pro", email="ada.lovelace at example.com", name="Ada Lovelace")
    # Stripe quotes what it refuses.
    refused = {"email": "ada.lovelace at example.com", "name": "Ada Lovelace"}
    provoke(billing.gateway.create_customer, refused, idempotency_key="refused")
    pay(str(billing.checkout(OWNER, "pro", email=EMAIL, name="Ada Lovelace").url))
    client = sdk.StripeClient(KEY, base_addresses={"api": stripe.url})
    for path, status in (("/v1/customers/*", 401), ("/v1/subscriptions", 500), ("/v1/invoices", 400)):
        stripe.fail_next(path, status=status, times=9)
    for event in stripe.events():
        deliver(billing, event)
    with pytest.raises(TimeoutError):
        billing.run_until_idle(1)
    body = json.dumps(stripe.events()[0]).encode()
    provoke(billing.receive, body, signed(body, secret="whsec_other"))
    provoke(billing.receive, body + b" ", signed(body, secret=SECRET))
    provoke(
        billing.receive,
        b'{"email": "ada.lovelace@example.com"',
        signed(b'{"email": "ada.lovelace@example.com"', secret=SECRET),
    )
    stripe.clear_faults()
    [subscription] = client.v1.subscriptions.list({"status": "all"}).data
    client.v1.subscriptions.cancel(subscription.id)
    for event in stripe.events():
        deliver(billing, event | {"id": f"{event['id']}_again"})
    billing.run_until_idle()
    return raised


def test_nothing_that_is_read_by_people_names_keys_cards_or_persons(
    billing: Billing, stripe: Emulator, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """H117: neither logs nor errors nor the rows that say what was done."""
    with caplog.at_level(logging.DEBUG, "paidup"):
        raised = everything_goes_wrong(billing, stripe)
    assert "the mail server is away" in caplog.text, "what went wrong is told"
    recorded = _recorded(database)
    assert "billing_events" in recorded
    for text in (caplog.text, "\n".join(raised), recorded, repr(billing.settings), str(billing.settings)):
        assert [word for word in NEVER if word in text] == []


def test_payloads_are_kept_only_where_they_are_wanted(
    make_billing: MakeBilling, billing: Billing, stripe: Emulator
) -> None:
    """H117: they serve audits alone; without them everything works, and a replay as well."""
    pay(str(billing.checkout(OWNER, "pro", email=EMAIL).url))
    [paid] = stripe.events("invoice.paid")
    deliver(billing, paid)
    billing.run_until_idle()
    assert (billing.event(paid["id"]).payload, billing.access(OWNER).plan) == ("", "pro")
    billing.replay(paid["id"])
    billing.run_until_idle()
    assert billing.event(paid["id"]).state == "done"
    keeping = make_billing(secret_key=KEY, clock=a_hurrying_clock())
    deliver(keeping, paid | {"id": "evt_kept"})
    assert json.loads(keeping.event("evt_kept").payload)["data"] == paid["data"]


def test_stripes_own_words_are_passed_on_without_addresses(billing: Billing) -> None:
    """H117: they quote what was sent."""
    with pytest.raises(StripeError) as error:
        billing.gateway.create_customer({"email": "ada.lovelace at example.com"}, idempotency_key="k1")
    assert "Invalid email address" in str(error.value)
    assert "lovelace" not in str(error.value)


def test_a_signature_of_another_secret_is_not_quoted(billing: Billing) -> None:
    """H117."""
    header = signed(b"{}", secret="whsec_other")
    with pytest.raises(InvalidSignature) as error:
        billing.receive(b"{}", header)
    assert header.split("v1=")[1] not in str(error.value)


def _recorded(database: Database) -> str:
    found = MetaData()
    found.reflect(database.engine)
    with database.read() as session:
        return "\n".join(
            f"{table.name} {[value for key, value in row._mapping.items() if key not in PERSONAL]}"
            for table in found.sorted_tables
            for row in session.execute(select(table))
        )
