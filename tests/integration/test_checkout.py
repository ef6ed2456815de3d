"""Checkout against the emulator: one customer, one session, one subscription, however it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
import stripe as sdk
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from paidup import (
    Billing,
    BillingError,
    CheckoutNotFound,
    CheckoutRefused,
    DatabaseUnavailable,
    InvalidOwner,
    InvalidReturnUrl,
    InvalidSeats,
    PlanNotForSale,
    StripeRejected,
    StripeUnavailable,
    UnknownInterval,
    UnknownPlan,
    inbox,
)
from paidup.core import targets
from paidup.database.engine import Database
from paidup.database.tables import CheckoutIntent, OwnerMapping
from paidup.sync import save_checkout
from stripe_emulator import Emulator
from tests.conftest import MakeBilling
from tests.support.calls import counted
from tests.support.deliveries import deliver
from tests.support.go_between import a_go_between
from tests.support.meanwhile import after_the_next_commit
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"


def customers(stripe: Emulator) -> int:
    return len(stripe.events("customer.created"))


def live_subscriptions(stripe: Emulator) -> int:
    ended = len(stripe.events("customer.subscription.deleted"))
    return len(stripe.events("customer.subscription.created")) - ended


def test_a_checkout_leads_to_a_page_at_stripe(billing: Billing, stripe: Emulator) -> None:
    checkout = billing.checkout(OWNER, "pro", email="a@example.com")
    assert checkout.state == "open"
    assert checkout.url is not None
    assert checkout.url.startswith(stripe.url)


def test_the_same_request_again_gets_the_same_page(billing: Billing) -> None:
    """H47: a double click."""
    assert billing.checkout(OWNER, "pro").url == billing.checkout(OWNER, "pro").url


def test_fifty_first_checkouts_at_once_make_one_customer_and_one_session(billing: Billing, stripe: Emulator) -> None:
    """H33, H47."""
    with ThreadPoolExecutor(50) as pool:
        urls = set(pool.map(lambda _: billing.checkout(OWNER, "pro").url, range(50)))
    assert len(urls) == 1
    assert customers(stripe) == 1


def test_two_processes_at_once_make_one_customer(
    make_billing: Callable[..., Billing], billing: Billing, stripe: Emulator
) -> None:
    """H33: nothing but the database is shared."""
    others = [billing, make_billing(), make_billing()]
    with ThreadPoolExecutor(12) as pool:
        urls = set(pool.map(lambda n: others[n % 3].checkout(OWNER, "pro").url, range(12)))
    assert (len(urls), customers(stripe)) == (1, 1)


def test_another_plan_ends_the_page_that_was_open(billing: Billing, stripe: Emulator) -> None:
    """H47: two tabs with two plans never end with two subscriptions."""
    first = billing.checkout(OWNER, "pro")
    second = billing.checkout(OWNER, "basic")
    assert first.url != second.url
    assert first.session_id is not None
    assert stripe.get(first.session_id)["status"] == "expired"
    assert billing.checkout(OWNER, "basic").url == second.url


def test_a_page_that_was_paid_meanwhile_is_found_and_no_second_one_is_opened(
    billing: Billing, stripe: Emulator
) -> None:
    """H47, H48, H49: the webhook has not come yet, and the other tab asks for something else."""
    first = billing.checkout(OWNER, "pro")
    pay(str(first.url))
    for plan in ("pro", "basic"):
        with pytest.raises(CheckoutRefused) as refused:
            billing.checkout(OWNER, plan)
        assert (refused.value.action, refused.value.plan) == ("change_plan", "pro")
    assert live_subscriptions(stripe) == 1


def test_a_page_that_is_paid_while_stripe_answers_leads_nobody_nowhere(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H47: the other tab pays after Stripe has said that the page is open."""
    first = billing.checkout(OWNER, "pro")

    def pay_meanwhile(answer: bytes) -> bytes:
        if json.loads(answer)["object"] == "checkout.session":
            between.change = lambda answer: answer
            pay(str(first.url))
            billing.sync(OWNER)
        return answer

    with a_go_between(stripe) as between:
        between.change = pay_meanwhile
        with pytest.raises(CheckoutRefused) as refused:
            make_billing(api_base=between.url).checkout(OWNER, "pro")
    assert (refused.value.action, live_subscriptions(stripe)) == ("change_plan", 1)


def test_a_page_that_is_paid_after_the_look_at_the_subscriptions_leads_to_no_second_one(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H47, H49: paid and known by the time the group would be claimed."""
    first, worker = billing.checkout(OWNER, "pro"), make_billing()

    def pay_and_learn() -> None:
        pay(str(first.url))
        worker.sync(OWNER)

    with after_the_next_commit(pay_and_learn), pytest.raises(CheckoutRefused) as refused:
        billing.checkout(OWNER, "pro")
    assert (refused.value.action, live_subscriptions(stripe)) == ("change_plan", 1)
    assert open_sessions(stripe, billing) == []


def test_a_customer_who_is_given_away_meanwhile_is_not_charged_by_who_had_them(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H39, H46: given away after this Checkout has looked up its customer."""
    billing.checkout(OWNER, "pro")
    stripe.advance(days=2)
    billing.sync(OWNER)
    given, other = billing.customer(OWNER), make_billing()
    with after_the_next_commit(lambda: other.transfer(OWNER, "org:9")):
        checkout = billing.checkout(OWNER, "pro")
    assert given is not None
    assert stripe.get(str(checkout.session_id))["customer"] != given.id
    pay(str(checkout.url))
    for owner in (OWNER, "org:9"):
        billing.sync(owner)
    assert (billing.access(OWNER).plan, billing.access("org:9").plan) == ("pro", "free")


def test_a_page_that_was_paid_leads_to_no_second_one_while_stripe_is_asked_by_somebody_else(
    billing: Billing, stripe: Emulator, database_url: str
) -> None:
    """H47, H49: a worker that holds the customer's lease and is slow."""
    first = billing.checkout(OWNER, "pro")
    pay(str(first.url))
    target = targets.customer(stripe.get(str(first.session_id))["customer"])
    database = Database(database_url)
    with database.write() as session:
        inbox.request(session, target, now=datetime.now(UTC))
        assert inbox.claim(session, now=datetime.now(UTC), target=target)
    database.close()
    with pytest.raises(StripeUnavailable, match="being looked at"):
        billing.checkout(OWNER, "pro")
    assert (live_subscriptions(stripe), open_sessions(stripe, billing)) == (1, [])


def test_what_was_bought_is_known_with_the_page_that_was_paid(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H47, H49: paid between the list of subscriptions and the look at the page, which are asked for side by side."""
    pay(str(billing.checkout(OWNER, "pro").url))

    def as_it_was_before(answer: bytes) -> bytes:
        found = json.loads(answer)
        if (found["object"], found.get("url")) != ("list", "/v1/subscriptions"):
            return answer
        between.change = lambda answer: answer
        return json.dumps({**found, "data": []}).encode()

    with a_go_between(stripe) as between:
        between.change = as_it_was_before
        make_billing(api_base=between.url).sync(OWNER)
    assert billing.access(OWNER).plan == "pro"


def test_an_old_look_at_a_page_does_not_open_it_again(billing: Billing, stripe: Emulator, database_url: str) -> None:
    """H47: a synchronisation that was under way meanwhile must not meet the other page's claim."""
    first = billing.checkout(OWNER, "pro")
    seen = stripe.get(str(first.session_id))
    billing.checkout(OWNER, "basic")
    database = Database(database_url)
    with database.write() as session:
        save_checkout(session, str(first.session_id), seen)
    database.close()
    assert billing.find_checkout(OWNER, str(first.session_id)).state == "expired"


def test_what_another_app_opened_for_the_same_customer_stays_open(billing: Billing, stripe: Emulator) -> None:
    """H111: what makes way for another choice is what paidup made itself."""
    first = billing.checkout(OWNER, "pro")
    session = stripe.get(str(first.session_id))
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    (price,) = client.v1.prices.list({"lookup_keys": ["pro_year"]}).data
    theirs = client.v1.checkout.sessions.create(
        {
            "customer": session["customer"],
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://example.com/done",
            "metadata": {"made_by": "another app"},
        }
    )
    second = billing.checkout(OWNER, "basic")
    assert sorted(open_sessions(stripe, billing)) == sorted([theirs.id, str(second.session_id)])


def test_an_expired_page_frees_the_claim(billing: Billing, stripe: Emulator) -> None:
    """H53."""
    first = billing.checkout(OWNER, "pro")
    stripe.advance(days=2)
    second = billing.checkout(OWNER, "pro")
    assert second.url != first.url
    pay(str(second.url))


@pytest.mark.parametrize(
    ("plan", "interval", "seats", "error"),
    [
        ("gold", "month", 1, UnknownPlan),
        ("free", "month", 1, PlanNotForSale),
        ("pro", "week", 1, UnknownInterval),
        ("pro", "month", 2, InvalidSeats),
        ("team", "month", 1, InvalidSeats),
        ("team", "month", 51, InvalidSeats),
        ("team", "month", -3, InvalidSeats),
        ("team", "month", True, InvalidSeats),
        ("team", "month", 2.5, InvalidSeats),
    ],
)
def test_what_is_not_for_sale_is_refused_before_anything_is_made(
    billing: Billing, stripe: Emulator, plan: str, interval: str, seats: int, error: type[BillingError]
) -> None:
    """H55, H94."""
    with pytest.raises(error) as refused:
        billing.checkout(OWNER, plan, interval=interval, seats=seats)
    assert refused.value.remedy
    assert customers(stripe) == 0


def test_an_address_stripe_refuses_is_put_right_by_the_next_request(billing: Billing, stripe: Emulator) -> None:
    """H67: what was refused is not sent again in the corrected request's name."""
    stripe.fail_next("/v1/customers", status=400)
    with pytest.raises(StripeRejected):
        billing.checkout(OWNER, "pro", email="ada@example.invalid")
    billing.checkout(OWNER, "pro", email="a@example.com")
    assert [event["data"]["object"]["email"] for event in stripe.events("customer.created")] == ["a@example.com"]


def test_what_is_too_long_for_stripe_is_refused_before_it_is_asked(billing: Billing, stripe: Emulator) -> None:
    """H65: and what goes into its metadata are ids, each far below 500 characters."""
    billing.checkout("user:2", "pro")  # asks whose key it is, once
    with counted(stripe) as calls:
        with pytest.raises(InvalidReturnUrl):
            billing.checkout(OWNER, "pro", return_to="/" + "a" * 5000)
        with pytest.raises(InvalidOwner):
            billing.checkout("a" * 501, "pro")
        assert calls.count == 0
    session = stripe.get(str(billing.checkout("a" * 200, "pro").session_id))
    assert len(session["metadata"]) <= 50
    assert max(map(len, session["metadata"].values())) <= 500


@pytest.mark.parametrize("owner", ["", " ", "a" * 201, "user\x00", "user\n1", None, 7])
def test_what_is_no_owner_is_refused(billing: Billing, owner: str) -> None:
    with pytest.raises(InvalidOwner):
        billing.checkout(owner, "pro")


def test_a_foreign_return_address_is_refused_before_anything_is_made(billing: Billing, stripe: Emulator) -> None:
    """H66."""
    with pytest.raises(InvalidReturnUrl):
        billing.checkout(OWNER, "pro", return_to="//evil.example")
    assert customers(stripe) == 0


def test_a_customer_who_was_deleted_in_the_dashboard_is_replaced_though_nobody_told_us(
    billing: Billing, stripe: Emulator
) -> None:
    """H41: "No such customer" for ever."""
    gone = stripe.get(str(billing.checkout(OWNER, "pro").session_id))["customer"]
    stripe.advance(days=2)
    billing.sync(OWNER)
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    client.v1.customers.delete(gone)
    pay(str(billing.checkout(OWNER, "pro", email="a@example.com").url))
    billing.sync(OWNER)
    found = billing.customer(OWNER)
    assert found is not None
    assert (found.id != gone, found.email, billing.access(OWNER).plan) == (True, "a@example.com", "pro")


def test_who_deletes_their_account_in_another_tab_buys_as_somebody_new(
    billing: Billing, make_billing: MakeBilling, stripe: Emulator
) -> None:
    """H41, H45: deleted after this Checkout has looked up its customer."""
    gone = stripe.get(str(billing.checkout(OWNER, "basic").session_id))["customer"]
    other = make_billing()
    with after_the_next_commit(lambda: other.delete_customer(OWNER)):
        checkout = billing.checkout(OWNER, "pro")
    assert (checkout.state, stripe.get(str(checkout.session_id))["customer"] != gone) == ("open", True)


def test_a_subscription_that_has_ended_though_nobody_told_us_is_in_nobodys_way(
    billing: Billing, stripe: Emulator
) -> None:
    """H49: one that was going to end, or whose payment had failed."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    subscription = billing.cancel(OWNER)
    with pytest.raises(CheckoutRefused) as refused:
        billing.checkout(OWNER, "pro")
    assert refused.value.action == "resume"
    client.v1.subscriptions.cancel(subscription.id)
    assert billing.checkout(OWNER, "pro").state == "open"


def test_a_refusal_costs_no_call_while_everything_is_in_order(billing: Billing, stripe: Emulator) -> None:
    """H17, H49: and three, and one for each open page, when it may be out of date."""
    pay(str(billing.checkout(OWNER, "pro").url))
    billing.sync(OWNER)
    with counted(stripe) as calls:
        with pytest.raises(CheckoutRefused):
            billing.checkout(OWNER, "pro")
        assert calls.count == 0
    billing.cancel(OWNER)
    with counted(stripe) as calls:
        with pytest.raises(CheckoutRefused):
            billing.checkout(OWNER, "pro")
        assert calls.count == 3


@pytest.mark.parametrize(
    ("return_to", "expected"),
    [
        ("/done", "/done?session_id={CHECKOUT_SESSION_ID}"),
        ("/done?a=b", "/done?a=b&session_id={CHECKOUT_SESSION_ID}"),
        ("/done#top", "/done?session_id={CHECKOUT_SESSION_ID}#top"),
        ("/done?a=b#top?c=d", "/done?a=b&session_id={CHECKOUT_SESSION_ID}#top?c=d"),
    ],
)
def test_the_address_a_user_comes_back_to_names_the_session(
    billing: Billing, stripe: Emulator, return_to: str, expected: str
) -> None:
    """H51: where the server sees it."""
    session_id = str(billing.checkout(OWNER, "pro", return_to=return_to).session_id)
    assert stripe.get(session_id)["success_url"] == f"{billing.settings.app_url}{expected}"


@pytest.mark.parametrize("embedded", [False, True])
def test_a_page_leads_back_to_where_it_was_asked_for_last(billing: Billing, stripe: Emulator, embedded: bool) -> None:
    """H53: not to where it was asked for in the morning, and left."""
    pages = [
        str(billing.checkout(OWNER, "pro", return_to=to, cancel_to="/pricing", embedded=embedded).session_id)
        for to in ("/morning", "/evening")
    ]
    field = "return_url" if embedded else "success_url"
    assert [stripe.get(each)["status"] for each in pages] == ["expired", "open"]
    assert stripe.get(pages[1])[field].startswith(f"{billing.settings.app_url}/evening")


def test_a_catalog_that_was_never_pushed_is_told(make_billing: Callable[..., Billing]) -> None:
    with pytest.raises(PlanNotForSale, match="paidup catalog push"):
        make_billing().checkout(OWNER, "pro")


def test_a_first_invoice_over_nothing_activates_and_is_no_revenue(billing: Billing) -> None:
    """H89."""
    pay(str(billing.checkout(OWNER, "basic").url), number=None)
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "basic"
    (invoice,) = billing.invoices(OWNER)
    assert (invoice.status, invoice.amount_paid) == ("paid", 0)
    (told,) = [each for each in billing.changes() if each.kind == "invoice.paid"]
    assert told.data["amount_paid"] == 0


def test_an_owner_has_one_trial(billing: Billing, stripe: Emulator) -> None:
    """H61: within one owner; the second time it is paid from the first day."""
    pay(str(billing.checkout(OWNER, "basic").url), number=None)
    billing.sync(OWNER)
    assert billing.access(OWNER).status == "trialing"
    stripe.advance(days=20)
    billing.sync(OWNER)
    assert billing.access(OWNER).plan == "free"
    pay(str(billing.checkout(OWNER, "basic").url))
    billing.sync(OWNER)
    assert billing.access(OWNER).status == "active"


def test_the_return_finds_the_subscription_before_any_webhook(billing: Billing) -> None:
    """H51: no endpoint is registered here at all."""
    checkout = billing.checkout(OWNER, "pro")
    pay(str(checkout.url))
    assert billing.access(OWNER).plan == "free"
    assert billing.finish_checkout(OWNER, str(checkout.session_id)).state == "complete"
    assert billing.access(OWNER).plan == "pro"


def test_the_return_asks_for_everything_though_a_webhook_asked_for_less(billing: Billing, stripe: Emulator) -> None:
    """H51: an event about the card alone waits for the same customer; the return's question must not shrink to it."""
    checkout = billing.checkout(OWNER, "pro")
    pay(str(checkout.url))
    deliver(billing, stripe.events("payment_method.attached")[0])
    assert billing.finish_checkout(OWNER, str(checkout.session_id)).state == "complete"
    assert billing.access(OWNER).plan == "pro"


def test_a_return_does_not_wait_for_a_stripe_that_hangs(billing: Billing, stripe: Emulator) -> None:
    """H51, H115: the user sees a pending page in time; what was asked is answered later."""
    checkout = billing.checkout(OWNER, "pro")
    pay(str(checkout.url))
    stripe.fail_next("/v1/subscriptions", timeout=4)
    started = monotonic()
    assert billing.finish_checkout(OWNER, str(checkout.session_id), wait=timedelta(seconds=1)).state == "open"
    assert monotonic() - started < 3
    # the question was given up in the back
    eventually(lambda: all(each.last_error for each in billing.queue()), 20)
    billing.run_until_idle()
    assert billing.access(OWNER).plan == "pro"


def test_a_return_without_a_payment_grants_nothing(billing: Billing) -> None:
    """H52."""
    checkout = billing.checkout(OWNER, "pro")
    assert billing.finish_checkout(OWNER, str(checkout.session_id)).state == "open"
    assert billing.access(OWNER).plan == "free"


def test_somebody_elses_session_is_not_found(billing: Billing) -> None:
    """H37, H52: paid by one, claimed by another."""
    checkout = billing.checkout(OWNER, "pro")
    pay(str(checkout.url))
    for session_id in (str(checkout.session_id), "cs_test_unknown", "' OR 1=1 --"):
        with pytest.raises(CheckoutNotFound):
            billing.finish_checkout("user:2", session_id)
    assert billing.access("user:2").plan == "free"
    assert billing.customer("user:2") is None


@contextmanager
def commit_fails(number: int) -> Iterator[list[int]]:
    """Let the n-th commit of a session that wrote something fail, as when the database goes away."""
    seen = [0]

    def fail(session: Session) -> None:
        seen[0] += 1
        if seen[0] == number:
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    event.listen(Session, "before_commit", fail)
    try:
        yield seen
    finally:
        event.remove(Session, "before_commit", fail)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_commit_that_fails_at_any_step_is_finished_by_the_next_try(
    billing: Billing, stripe: Emulator, number: int
) -> None:
    """H109: the call to Stripe succeeded and its outcome could not be stored."""
    with commit_fails(number) as seen:
        try:
            billing.checkout(OWNER, "pro")
        except DatabaseUnavailable:
            assert seen[0] >= number
        else:
            assert seen[0] < number, "every step before was made to fail once"
    checkout = billing.checkout(OWNER, "pro")
    assert customers(stripe) == 1
    assert open_sessions(stripe, billing) == [checkout.session_id]


def open_sessions(stripe: Emulator, billing: Billing) -> list[str]:
    """Every session that could still be paid, asked of Stripe itself."""
    client = sdk.StripeClient("sk_test_paidup", base_addresses={"api": stripe.url})
    return [each.id for each in client.v1.checkout.sessions.list({"status": "open"}).auto_paging_iter()]


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/checkout/sessions"])
@pytest.mark.parametrize("after_work", [False, True])
def test_an_answer_that_is_lost_is_found_by_the_next_try(
    billing: Billing, stripe: Emulator, path: str, after_work: bool
) -> None:
    """H109, H110: whether the work was done is not known; the same key finds out."""
    stripe.fail_next(path, status=500, times=3, after_work=after_work)
    with pytest.raises(StripeUnavailable):
        billing.checkout(OWNER, "pro")
    checkout = billing.checkout(OWNER, "pro")
    assert customers(stripe) == 1
    assert open_sessions(stripe, billing) == [checkout.session_id]


def test_every_session_is_known_by_a_row_that_was_there_first(billing: Billing, database_url: str) -> None:
    """H109: the row's id is what stands at Stripe."""
    checkout = billing.checkout(OWNER, "pro")
    database = Database(database_url)
    with database.read() as session:
        row = session.scalars(select(CheckoutIntent)).one()
        mapping = session.scalars(select(OwnerMapping)).one()
    database.close()
    assert row.params["metadata"]["paidup_intent"] == row.id == checkout.id
    assert mapping.params["metadata"] == {"paidup_owner": OWNER, "paidup_intent": mapping.intent}
