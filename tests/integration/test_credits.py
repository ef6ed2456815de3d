"""Credits: brought by paid invoices, spent once, and gone with money that went back."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import stripe as sdk
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from paidup import (
    AsyncBilling,
    Billing,
    Change,
    InsufficientCredits,
    InvalidOwner,
    InvalidQuantity,
    InvalidRequest,
    Plan,
    UnknownCredit,
)
from paidup.catalog import file
from paidup.core.catalog import Catalog
from paidup.database.engine import Database
from paidup.database.tables import CreditBalance, StoredCreditEntry
from stripe_emulator import Emulator
from tests.conftest import PLANS, MakeBilling
from tests.support import host_app as host
from tests.support.account import deliver_all
from tests.support.calls import counted
from tests.support.deliveries import deliver
from tests.support.paying import GOOD_CARD, pay
from tests.support.serving import serving

OWNER, OTHER = "user:1", "user:2"
DISPUTED_CARD = "4000000000000259"
REFUND_FAILS_CARD = "4000000000005126"


def a_catalog() -> Catalog:
    """The plans of all tests, with tokens for Basic, which has a trial, and for an add-on as well."""
    text = PLANS.read_text()
    for line, units in {'lookup_key = "basic_month"': 300, 'lookup_key = "sso_month"': 50}.items():
        assert line in text
        text = text.replace(line, f"{line}\ncredits = {{ tokens = {units} }}")
    return file.loads(text)


@pytest.fixture
def told() -> list[Change]:
    return []


@pytest.fixture
def billing(make_billing: MakeBilling, told: list[Change]) -> Billing:
    billing = make_billing(catalog=a_catalog())
    billing.push_catalog()
    billing.on_change()(told.append)
    return billing


@pytest.fixture
def client(stripe: Emulator) -> Any:
    """Stripe as anybody sees it."""
    return sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url}).v1


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def hear(billing: Billing, stripe: Emulator) -> None:
    """Everything is delivered and done, twice."""
    for _ in range(2):
        deliver_all(billing, stripe)
        billing.run_until_idle()


def buy(billing: Billing, stripe: Emulator, plan: str = "pro", *, card: str | None = GOOD_CARD, **terms: Any) -> None:
    pay(str(billing.checkout(OWNER, plan, **terms).url), number=card)
    hear(billing, stripe)


def change(billing: Billing, stripe: Emulator, plan: str, **terms: Any) -> None:
    billing.change_plan(OWNER, billing.preview_change(OWNER, plan, **terms).id)
    hear(billing, stripe)


def tokens(billing: Billing, owner: str = OWNER) -> int:
    return billing.credits(owner)["tokens"]


def charge_of(client: Any, billing: Billing) -> Any:
    customer = billing.customer(OWNER)
    assert customer is not None
    return client.charges.list({"customer": customer.id}).data[0]


def use_card(billing: Billing, client: Any, card: str) -> None:
    """From now on the subscription is charged to this card."""
    subscription = billing.subscription(OWNER)
    assert subscription is not None
    method = client.payment_methods.attach(card, {"customer": subscription.customer})
    client.subscriptions.update(subscription.id, {"default_payment_method": method.id})


def kinds(billing: Billing) -> list[tuple[str, int]]:
    """The owner's entries, oldest first."""
    return [(each.kind, each.units) for each in reversed(billing.credit_entries(OWNER))]


def of(told: list[Change], kind: str) -> list[tuple[object, object]]:
    return [(each.data["units"], each.data["balance"]) for each in told if each.kind == kind]


# brought


def test_each_paid_period_brings_its_credits_once(billing: Billing, stripe: Emulator, told: list[Change]) -> None:
    """H4: invoice.paid and invoice.payment_succeeded, repeated, are one payment."""
    assert billing.credits(OWNER) == {"tokens": 0}
    buy(billing, stripe)
    assert tokens(billing) == 1000
    stripe.advance(days=32)
    hear(billing, stripe)
    billing.sync(OWNER)
    assert kinds(billing) == [("paid", 1000), ("paid", 1000)]
    assert of(told, "credits.granted") == [(1000, 1000), (1000, 2000)]
    assert tokens(billing, OTHER) == 0


def test_a_year_seats_and_addons_bring_theirs(billing: Billing, stripe: Emulator) -> None:
    buy(billing, stripe, "team", seats=4)
    assert tokens(billing) == 4 * 600
    pay(str(billing.checkout(OTHER, "pro", addons={"single_sign_on": 1, "pack": 2}).url))
    hear(billing, stripe)
    assert tokens(billing, OTHER) == 1000 + 50
    pay(str(billing.checkout("org:3", "pro", interval="year").url))
    hear(billing, stripe)
    assert tokens(billing, "org:3") == 12000


def test_a_trial_brings_nothing_before_it_is_paid_for(billing: Billing, stripe: Emulator, client: Any) -> None:
    """H89: an invoice of nothing is no payment."""
    buy(billing, stripe, "basic")
    assert (billing.access(OWNER).status, tokens(billing)) == ("trialing", 0)
    use_card(billing, client, "pm_card_visa")
    stripe.advance(days=15)
    hear(billing, stripe)
    assert (billing.access(OWNER).status, tokens(billing)) == ("active", 300)


def test_what_was_not_paid_brings_nothing(billing: Billing, stripe: Emulator, client: Any) -> None:
    buy(billing, stripe)
    use_card(billing, client, "pm_card_chargeCustomerFail")
    stripe.advance(days=32)
    hear(billing, stripe)
    assert (billing.access(OWNER).status, tokens(billing)) == ("past_due", 1000)
    use_card(billing, client, "pm_card_visa")
    billing.retry_payment(OWNER)
    hear(billing, stripe)
    assert tokens(billing) == 2000


def test_a_purchase_shows_its_credits_when_the_user_comes_back(billing: Billing, stripe: Emulator) -> None:
    checkout = billing.checkout(OWNER, "pro")
    pay(str(checkout.url))
    billing.finish_checkout(OWNER, str(checkout.session_id))
    assert tokens(billing) == 1000


def test_a_file_that_gets_credits_gives_none_for_what_was_paid_before(
    make_billing: MakeBilling, stripe: Emulator, billing: Billing
) -> None:
    unnamed = {"credits": {}, "plans": tuple(_without_credits(each) for each in billing.catalog.plans)}
    before = make_billing(catalog=Catalog(**{**_fields(billing.catalog), **unnamed}))
    buy(before, stripe)
    assert tokens(billing) == 0
    billing.sync(OWNER)
    assert tokens(billing) == 0
    stripe.advance(days=32)
    hear(billing, stripe)
    assert tokens(billing) == 1000


def test_an_invoice_of_many_lines_brings_what_all_of_them_do(billing: Billing, stripe: Emulator, client: Any) -> None:
    """H16: an invoice comes with ten of its lines."""
    buy(billing, stripe)
    customer = billing.customer(OWNER)
    assert customer is not None
    for number in range(12):
        client.invoice_items.create(
            {"customer": customer.id, "amount": 100, "currency": "usd", "description": f"Extra {number}"}
        )
    stripe.advance(days=32)
    hear(billing, stripe)
    assert billing.invoices(OWNER)[0].total == 2900 + 1200
    assert tokens(billing) == 2000


def test_a_paid_invoice_costs_no_call_for_a_price_that_is_known(billing: Billing, stripe: Emulator) -> None:
    deliver_all(billing, stripe)
    billing.run_until_idle()
    pay(str(billing.checkout(OWNER, "pro").url))
    with counted(stripe) as calls:
        billing.sync(OWNER)
        assert (calls.count, tokens(billing)) == (4, 1000), "customer, subscriptions, invoices, and the Checkout"


# changes of plan


def test_a_change_brings_the_rest_of_the_period_and_takes_what_is_given_back(
    billing: Billing, stripe: Emulator, told: list[Change]
) -> None:
    buy(billing, stripe)
    started = billing.subscription(OWNER)
    assert started is not None
    assert started.current_period_start is not None
    assert started.current_period_end is not None
    stripe.advance(days=10)
    quote = billing.preview_change(OWNER, "team", seats=4)
    billing.change_plan(OWNER, quote.id)
    hear(billing, stripe)
    whole = (started.current_period_end - started.current_period_start).total_seconds()
    [start] = {line.period_start for line in quote.lines}
    left = (started.current_period_end - start).total_seconds()
    brought, taken = int(4 * 600 * left // whole), -int(-1000 * left // whole)
    assert sorted(kinds(billing)) == sorted([("paid", 1000), ("paid", brought), ("paid", -taken)])
    assert of(told, "credits.granted") == [(1000, 1000), (brought - taken, 1000 + brought - taken)]
    change(billing, stripe, "team", seats=6)
    assert tokens(billing) in range(1000 - taken + int(6 * 600 * left // whole) - 2, 1000 - taken + 3600)


def test_up_and_down_leaves_no_profit(make_billing: MakeBilling, stripe: Emulator, client: Any) -> None:
    """H87: twenty changes at once between plans, intervals and seats, with a coupon, earn nothing."""
    text = PLANS.read_text() + "".join(
        f'[[changes]]\nfrom = "{a}"\nto = "{b}"\nwhen = "now"\n' for a in ("pro", "team") for b in ("pro", "team")
    )
    plain = a_catalog()
    billing = make_billing(catalog=Catalog(**{**_fields(plain), "change_timing": file.loads(text).change_timing}))
    billing.push_catalog()
    half = client.coupons.create({"percent_off": 50, "duration": "forever"})
    buy(billing, stripe, coupon=half.id)
    chance = random.Random(8)
    choices = [("pro", "month", 1), ("pro", "year", 1), ("team", "month", 2), ("team", "month", 5)]
    current = choices[0]
    for _ in range(20):
        current = chance.choice([each for each in choices if each != current])
        plan, interval, seats = current
        change(billing, stripe, plan, interval=interval, seats=seats)
    if current != choices[0]:
        change(billing, stripe, "pro", interval="month", seats=1)
    assert 1000 - 2 * 21 <= tokens(billing) <= 1000


def _without_credits(plan: Plan) -> Plan:
    return replace(plan, prices=tuple(replace(each, credits={}) for each in plan.prices))


def _fields(catalog: Catalog) -> dict[str, Any]:
    return {name: getattr(catalog, name) for name in Catalog.__dataclass_fields__}


# money that went back


@pytest.mark.parametrize(("amounts", "left"), [([2900], [0]), ([1450], [500]), ([100, 1000, 1800], [966, 621, 0])])
def test_a_refund_takes_its_part(
    billing: Billing, stripe: Emulator, client: Any, told: list[Change], amounts: list[int], left: list[int]
) -> None:
    """H101: in proportion to what was paid, whatever the amounts are in, and once."""
    buy(billing, stripe)
    found = []
    for amount in amounts:
        client.refunds.create({"charge": charge_of(client, billing).id, "amount": amount})
        hear(billing, stripe)
        billing.sync(OWNER)
        found.append(tokens(billing))
    assert found == left
    assert [balance for _, balance in of(told, "credits.reversed")] == left


def test_what_was_spent_already_is_owed_and_paid_with_the_next_period(
    billing: Billing, stripe: Emulator, client: Any
) -> None:
    """H101: nothing is forgiven by having been quick, and the debt is on record."""
    buy(billing, stripe)
    billing.spend_credits(OWNER, "tokens", 900, key="job:1")
    client.refunds.create({"charge": charge_of(client, billing).id})
    hear(billing, stripe)
    assert tokens(billing) == -900
    with pytest.raises(InsufficientCredits, match="1 tokens are needed and 0 are left, and 900 are owed"):
        billing.spend_credits(OWNER, "tokens", 1, key="job:2")
    stripe.advance(days=32)
    hear(billing, stripe)
    assert tokens(billing) == 100


def test_a_won_dispute_gives_back_exactly_what_it_took(
    billing: Billing, stripe: Emulator, client: Any, told: list[Change]
) -> None:
    """H99, H101: held while the bank decides."""
    buy(billing, stripe, card=DISPUTED_CARD)
    assert tokens(billing) == 0
    [dispute] = client.disputes.list().data
    client.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    hear(billing, stripe)
    assert kinds(billing) == [("paid", 1000), ("reversed", -1000), ("reversed", 1000)]
    assert of(told, "credits.reversed") == [(-1000, 0), (1000, 1000)]


def test_a_lost_dispute_takes_them_for_good(billing: Billing, stripe: Emulator, client: Any) -> None:
    """H99."""
    buy(billing, stripe, card=DISPUTED_CARD)
    [dispute] = client.disputes.list().data
    client.disputes.close(dispute.id)
    hear(billing, stripe)
    assert tokens(billing) == 0


def test_a_refund_that_fails_gives_them_back(billing: Billing, stripe: Emulator, client: Any) -> None:
    buy(billing, stripe, card=REFUND_FAILS_CARD)
    client.refunds.create({"charge": charge_of(client, billing).id})
    hear(billing, stripe)
    stripe.advance(days=10)
    hear(billing, stripe)
    assert tokens(billing) == 1000


@pytest.mark.parametrize("is_first", [True, False])
def test_money_that_went_back_before_it_was_known_to_be_paid_ends_the_same(
    billing: Billing, stripe: Emulator, client: Any, is_first: bool
) -> None:
    """H99: in whatever order it is heard."""
    pay(str(billing.checkout(OWNER, "pro").url))
    customer = billing.customer(OWNER)
    charge = client.charges.list({"customer": customer.id if customer else None}).data[0]
    client.refunds.create({"charge": charge.id, "amount": 1450})
    events = stripe.events()
    about_refunds = [each for each in events if each["type"].startswith(("refund", "charge.refund"))]
    others = [each for each in events if each not in about_refunds]
    for each in about_refunds + others if is_first else others + about_refunds:
        deliver(billing, each)
        billing.run_until_idle()
    assert tokens(billing) == 500


def test_an_unused_period_that_is_refunded_takes_its_credits_along(
    billing: Billing, stripe: Emulator, client: Any
) -> None:
    buy(billing, stripe)
    stripe.advance(days=10)
    billing.sync(OWNER)
    billing.cancel(OWNER, when="now", refund_unused=True)
    hear(billing, stripe)
    refunded = client.refunds.list().data[0].amount
    assert tokens(billing) == 1000 - 1000 * refunded // 2900


# spent


def test_a_key_spends_once(billing: Billing) -> None:
    """H103: a job that is tried again is paid for once, and what does not fit is not begun."""
    assert billing.give_credits(OWNER, "tokens", 10, key="welcome", note="a present") == 10
    assert billing.give_credits(OWNER, "tokens", 10, key="welcome") == 10
    assert billing.spend_credits(OWNER, "tokens", 4, key="job:1") == 6
    assert billing.spend_credits(OWNER, "tokens", 4, key="job:1") == 6
    with pytest.raises(InsufficientCredits) as refused:
        billing.spend_credits(OWNER, "tokens", 7, key="job:2")
    assert (refused.value.credit, refused.value.needed, refused.value.balance) == ("tokens", 7, 6)
    assert refused.value.plans == ("basic", "pro", "team")
    assert billing.spend_credits(OWNER, "tokens", 6, key="job:2") == 0
    assert billing.spend_credits(OWNER, "tokens", 6, key="job:2") == 0, "the last ones, told again"
    assert billing.give_credits(OWNER, "tokens", 6, key="job:2 failed") == 6
    assert kinds(billing) == [("given", 10), ("spent", -4), ("spent", -6), ("given", 6)]
    [newest, *_] = billing.credit_entries(OWNER, limit=1)
    assert [each.note for each in billing.credit_entries(OWNER, before=newest.number)] == [None, None, "a present"]


def test_of_a_hundred_at_once_as_many_get_through_as_there_are(billing: Billing, database: Database) -> None:
    """H103."""
    billing.give_credits(OWNER, "tokens", 10, key="welcome")

    def spend(number: int) -> bool:
        try:
            billing.spend_credits(OWNER, "tokens", 1, key=f"job:{number % 60}")
        except InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(spend, range(100)))
    assert tokens(billing) == 0
    assert kinds(billing).count(("spent", -1)) == 10


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nothing", 1, "k"), UnknownCredit),
        (("tokens", 0, "k"), InvalidQuantity),
        (("tokens", -1, "k"), InvalidQuantity),
        (("tokens", 1.5, "k"), InvalidQuantity),
        (("tokens", True, "k"), InvalidQuantity),
        (("tokens", 10**12, "k"), InvalidQuantity),
        (("tokens", 1, ""), InvalidRequest),
        (("tokens", 1, "k" * 201), InvalidRequest),
        (("tokens", 1, None), InvalidRequest),
        (("tokens", 1, "a\nb"), InvalidRequest),
    ],
)
def test_what_cannot_be_is_told(billing: Billing, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    credit, units, key = arguments
    for verb in (billing.spend_credits, billing.give_credits):
        with pytest.raises(error):
            verb(OWNER, credit, units, key=key)
        with pytest.raises(InvalidOwner):
            verb("", credit, units, key=key)
    assert billing.credits(OWNER) == {"tokens": 0}


def test_a_key_is_for_one_thing(billing: Billing) -> None:
    billing.give_credits(OWNER, "tokens", 10, key="k")
    billing.spend_credits(OWNER, "tokens", 3, key="k")
    for verb in (billing.spend_credits, billing.give_credits):
        with pytest.raises(InvalidRequest, match="this key was used for"):
            verb(OWNER, "tokens", 5, key="k")
    assert (tokens(billing), billing.give_credits(OTHER, "tokens", 5, key="k")) == (7, 5)


def test_what_is_spent_in_a_transaction_of_the_apps_is_spent_when_it_commits(
    billing: Billing, database: Database
) -> None:
    billing.give_credits(OWNER, "tokens", 10, key="welcome")
    with suppress(RuntimeError), database.write() as session:
        assert billing.spend_credits(OWNER, "tokens", 4, key="job", session=session) == 6
        assert billing.credits(OWNER, session=session) == {"tokens": 6}
        raise RuntimeError("the app changes its mind")
    assert tokens(billing) == 10
    with database.write() as session:
        billing.spend_credits(OWNER, "tokens", 4, key="job", session=session)
    assert tokens(billing) == 6


def test_a_handler_spends_in_the_transaction_that_brings(billing: Billing, stripe: Emulator) -> None:
    def settle(change: Change, session: Session) -> None:
        billing.spend_credits(change.owner, "tokens", 250, key=change.id, session=session)

    billing.on_change("credits.granted", in_transaction=True)(settle)
    buy(billing, stripe)
    assert tokens(billing) == 750


# whose they are


def test_they_go_with_the_customer_to_another_owner(billing: Billing, stripe: Emulator) -> None:
    """H46."""
    buy(billing, stripe)
    billing.spend_credits(OWNER, "tokens", 100, key="job")
    billing.give_credits(OTHER, "tokens", 7, key="welcome")
    billing.transfer(OWNER, OTHER)
    hear(billing, stripe)
    assert (tokens(billing), tokens(billing, OTHER)) == (0, 907)
    assert sum(each.units for each in billing.credit_entries(OTHER)) == 907
    assert billing.credit_entries(OWNER) == []


def test_they_end_with_the_account(billing: Billing, stripe: Emulator) -> None:
    """H45: who comes back is somebody new."""
    buy(billing, stripe)
    assert billing.delete_customer(OWNER)
    hear(billing, stripe)
    assert billing.delete_customer(OWNER)
    assert tokens(billing) == 0
    assert kinds(billing)[-1] == ("forfeited", -1000)
    buy(billing, stripe)
    assert tokens(billing) == 1000


def test_balances_are_the_sums_of_their_entries(
    billing: Billing, stripe: Emulator, client: Any, database: Database
) -> None:
    buy(billing, stripe)
    change(billing, stripe, "team", seats=3)
    billing.spend_credits(OWNER, "tokens", 100, key="job")
    client.refunds.create({"charge": charge_of(client, billing).id, "amount": 500})
    hear(billing, stripe)
    billing.transfer(OWNER, OTHER)
    with database.read() as session:
        balances = select(CreditBalance.owner, CreditBalance.credit, CreditBalance.units)
        sums = select(StoredCreditEntry.owner, StoredCreditEntry.credit, func.sum(StoredCreditEntry.units)).group_by(
            StoredCreditEntry.owner, StoredCreditEntry.credit
        )
        assert [tuple(row) for row in session.execute(balances)] == [
            (owner, credit, int(units)) for owner, credit, units in session.execute(sums)
        ]


# over HTTP


def test_a_user_sees_their_own(billing: Billing, stripe: Emulator, app_socket: Any) -> None:
    billing.give_credits(OWNER, "tokens", 3, key="welcome")
    app = host.build(billing)
    with serving(app, app_socket) as url:
        served = host.HostApp(url, app, billing)
        with served.client(OWNER) as http:
            assert http.get("/billing/credits").json() == [{"key": "tokens", "name": "Tokens", "balance": 3}]
        with served.client(OTHER) as http:
            assert http.get("/billing/credits").json() == [{"key": "tokens", "name": "Tokens", "balance": 0}]
        with served.client(None) as http:
            assert http.get("/billing/credits").status_code == 401
            plans = http.get("/billing/plans").json()
    assert json.dumps(plans).count('"credits": {"tokens": 1000}') == 1


async def _verbs(billing: AsyncBilling) -> tuple[object, ...]:
    given = await billing.give_credits(OWNER, "tokens", 5, key="a")
    spent = await billing.spend_credits(OWNER, "tokens", 2, key="a")
    return given, spent, await billing.credits(OWNER), len(await billing.credit_entries(OWNER))


def test_an_async_app_has_the_same_verbs(billing: Billing) -> None:
    assert asyncio.run(_verbs(AsyncBilling(billing))) == (5, 3, {"tokens": 3}, 2)
