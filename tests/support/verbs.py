"""
Every verb of Billing that calls Stripe, how things stand before it, and how they stand afterwards.

A new verb is one line in VERBS; tests/conventions/test_verbs.py asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import stripe as sdk
from sqlalchemy import select

from paidup import Billing, ChangeNotPaid, PaymentNeedsUser, Settings, StripeRejected
from paidup.database.engine import Database
from paidup.database.tables import CheckoutIntent, CreditBalance, OwnerMapping, StoredQuote, SyncTarget
from paidup.models import Customer, Invoice, Subscription
from tests.support.interrupting import Call, watched
from tests.support.paying import pay

if TYPE_CHECKING:
    from stripe_emulator import Emulator  # a process that is to be killed does without

OWNER = "user:1"
OTHER = "user:2"

Facts = dict[str, str]
"""What a verb needs to know of its scene: the id of a session, of a quote."""


@dataclass(frozen=True, slots=True)
class World:
    """Where a scene is set."""

    billing: Billing
    stripe: Emulator

    @property
    def client(self) -> Any:
        """Stripe as anybody sees it."""
        return sdk.StripeClient("sk_test_paidup", base_addresses={"api": self.stripe.url}).v1


Scene = Callable[[World], Facts]


@dataclass(frozen=True, slots=True)
class Verb:
    """A method of Billing, the scene it is called in, and the call itself."""

    method: str
    scene: Scene
    do: Callable[[Billing, Facts], object]
    nobody_waits: bool = False
    """Is it called again only minutes later?"""
    is_refused: bool = False
    """Does the bank say no, each time it is called? How many tries came to nothing is not compared then."""

    def compared(self, outcome: dict[str, Any]) -> dict[str, Any]:
        """What has to be the same, whether it was interrupted or not."""
        if not self.is_refused:
            return outcome
        at_stripe, here = dict(outcome["at Stripe"]), dict(outcome["here"])
        for part, lists in ((at_stripe, ("invoices", "charges")), (here, ("invoices",))):
            for name in lists:
                part[name] = [each for each in part[name] if "'void'" not in each and "'failed'" not in each]
        return outcome | {"at Stripe": at_stripe, "here": here}


# scenes


def an_empty_account(_: World) -> Facts:
    """Not even plans."""
    return {}


def nobody(world: World) -> Facts:
    """Plans and nobody who has bought one."""
    world.billing.push_catalog()
    return {}


def an_open_page(world: World) -> Facts:
    """A Checkout that is open."""
    nobody(world)
    return {"session": str(world.billing.checkout(OWNER, "pro", email="ada@example.com").session_id)}


def a_paid_page(world: World) -> Facts:
    """A Checkout that was paid, of which nobody has told us."""
    nobody(world)
    checkout = world.billing.checkout(OWNER, "pro", email="ada@example.com")
    pay(str(checkout.url))
    return {"session": str(checkout.session_id)}


def a_subscriber(world: World) -> Facts:
    """Somebody on Pro."""
    nobody(world)
    pay(str(world.billing.checkout(OWNER, "pro").url))
    world.billing.sync(OWNER)
    found = world.billing.subscription(OWNER)
    assert found is not None
    return {"customer": found.customer, "subscription": found.id, "invoice": world.billing.invoices(OWNER)[0].id}


def somebody_who_cancels(world: World) -> Facts:
    """Their subscription ends with the period."""
    facts = a_subscriber(world)
    world.billing.cancel(OWNER)
    return facts


def somebody_who_pauses(world: World) -> Facts:
    """Their payments are paused."""
    facts = a_subscriber(world)
    world.billing.pause(OWNER)
    return facts


def somebody_who_is_late(world: World) -> Facts:
    """Their renewal failed; the card would be good now."""
    facts = a_subscriber(world)
    subscription = world.billing.subscription(OWNER)
    assert subscription is not None
    assert subscription.current_period_end is not None
    world.stripe.decline_next()
    world.stripe.advance(to=subscription.current_period_end + timedelta(hours=2))
    world.billing.sync(OWNER)
    assert world.billing.open_invoice(OWNER) is not None
    return facts


def a_refund_that_was_refused(world: World) -> Facts:
    """Their subscription has ended; Stripe would not give back what is left, and would now."""
    facts = a_subscriber(world)
    world.stripe.fail_next("/v1/refunds", status=400, method="POST", kept=True)
    with suppress(StripeRejected):
        world.billing.cancel(OWNER, when="now", refund_unused=True)
    return facts


def somebody_who_was_renamed(world: World) -> Facts:
    """What changed at Stripe is not known here yet."""
    facts = a_subscriber(world)
    world.client.customers.update(facts["customer"], {"name": "Ada Lovelace"})
    return facts


def a_quote_for_more(world: World) -> Facts:
    """The price of an upgrade is known."""
    facts = a_subscriber(world)
    return facts | {"quote": world.billing.preview_change(OWNER, "team", seats=3).id}


def a_quote_for_less(world: World) -> Facts:
    """A downgrade is asked for."""
    facts = a_subscriber(world)
    return facts | {"quote": world.billing.preview_change(OWNER, "basic").id}


def a_quote_for_addons(world: World) -> Facts:
    """More of an add-on, and less of another thing."""
    nobody(world)
    pay(str(world.billing.checkout(OWNER, "pro", addons={"pack": 1, "single_sign_on": 1}).url))
    world.billing.sync(OWNER)
    return {"quote": world.billing.preview_change(OWNER, "team", seats=3, addons={"pack": 2}).id}


def a_quote_for_less_of_what_was_archived(world: World) -> Facts:
    """The plan has become dearer since it was bought."""
    nobody(world)
    pay(str(world.billing.checkout(OWNER, "pro", addons={"pack": 2}).url))
    world.billing.sync(OWNER)
    for key in ("pro_month", "pack_month"):
        world.client.prices.update(world.client.prices.list({"lookup_keys": [key]}).data[0].id, {"active": False})
    return {"quote": world.billing.preview_change(OWNER, "pro", addons={"pack": 1}).id}


def a_planned_change(world: World) -> Facts:
    """A downgrade comes with the end of the period."""
    facts = a_quote_for_less(world)
    world.billing.change_plan(OWNER, facts["quote"])
    return facts


def a_planned_change_and_a_draft(world: World) -> Facts:
    """And something of the app's own waits to be invoiced."""
    facts = a_planned_change(world)
    world.client.invoice_items.create({"customer": facts["customer"], "amount": 500, "currency": "usd"})
    world.client.invoices.create({"customer": facts["customer"]})
    return facts


def somebody_who_stopped(world: World) -> Facts:
    """Their subscription has the status paused, and a new period begins when it is resumed."""
    facts = a_subscriber(world)
    world.billing.pause(OWNER, kind="subscription")
    world.stripe.advance(days=40)
    return facts


def a_change_that_waits(world: World) -> Facts:
    """The user's bank asks them before it pays for an upgrade."""
    facts = a_card_that_asks(world)
    with suppress(PaymentNeedsUser):
        world.billing.change_plan(OWNER, facts["quote"])
    return facts


def a_card_that_asks(world: World) -> Facts:
    """An upgrade is asked for that the user's bank will ask about."""
    return _with_card(world, "pm_card_authenticationRequired")


def a_card_that_is_declined(world: World) -> Facts:
    """An upgrade is asked for that will not be paid."""
    return _with_card(world, "pm_card_chargeCustomerFail")


def _with_card(world: World, card: str) -> Facts:
    facts = a_subscriber(world)
    method = world.client.payment_methods.attach(card, {"customer": facts["customer"]})
    world.client.subscriptions.update(facts["subscription"], {"default_payment_method": method.id})
    return facts | {"quote": world.billing.preview_change(OWNER, "team", seats=3).id}


def a_code(world: World) -> Facts:
    """A promotion code that half of the price is taken off with."""
    nobody(world)
    coupon = world.client.coupons.create({"percent_off": 50, "duration": "once"})
    world.client.promotion_codes.create({"code": "HALF", "promotion": {"type": "coupon", "coupon": coupon.id}})
    return {}


def a_change_with_a_code(world: World) -> Facts:
    """A downgrade with a promotion code."""
    a_code(world)
    facts = a_subscriber(world)
    return facts | {"quote": world.billing.preview_change(OWNER, "basic", promotion_code="HALF").id}


def a_trial(world: World) -> Facts:
    """Somebody tries Basic, without a card."""
    nobody(world)
    pay(str(world.billing.checkout(OWNER, "basic").url), number=None)
    world.billing.sync(OWNER)
    return {}


def a_price_that_changed(world: World) -> Facts:
    """The plans file asks for another amount than Stripe does."""
    nobody(world)
    found = world.client.prices.list({"lookup_keys": ["pro_month"]}).data[0]
    other = {"currency": "usd", "unit_amount": 1900, "recurring": {"interval": "month"}, "product": found.product}
    world.client.prices.create({**other, "lookup_key": "pro_month", "transfer_lookup_key": True})
    return {}


def _refused(verb: Callable[[], object]) -> None:
    """Called for what Stripe or the bank says no to, or wants the user for."""
    with suppress(ChangeNotPaid, PaymentNeedsUser):
        verb()


VERBS: dict[str, Verb] = {
    "checkout": Verb("checkout", nobody, lambda b, _: b.checkout(OWNER, "pro", email="ada@example.com")),
    "checkout with add-ons": Verb("checkout", nobody, lambda b, _: b.checkout(OWNER, "pro", addons={"pack": 2})),
    "checkout of a trial": Verb("checkout", nobody, lambda b, _: b.checkout(OWNER, "basic", email="ada@example.com")),
    "checkout with a code": Verb("checkout", a_code, lambda b, _: b.checkout(OWNER, "pro", promotion_code="HALF")),
    "checkout inside a page": Verb("checkout", nobody, lambda b, _: b.checkout(OWNER, "pro", embedded=True)),
    "checkout of another plan": Verb("checkout", an_open_page, lambda b, _: b.checkout(OWNER, "basic")),
    "return from Checkout": Verb("finish_checkout", a_paid_page, lambda b, f: b.finish_checkout(OWNER, f["session"])),
    "portal": Verb("portal", a_subscriber, lambda b, _: b.portal(OWNER)),
    "portal at the end": Verb("portal", a_subscriber, lambda b, _: b.portal(OWNER, flow="subscription_cancel")),
    "portal at one change": Verb(
        "portal",
        a_subscriber,
        lambda b, _: b.portal(OWNER, flow="subscription_update_confirm", plan="pro", interval="year"),
    ),
    "invoice": Verb("invoice_page", a_subscriber, lambda b, f: b.invoice_page(OWNER, f["invoice"])),
    "upcoming invoice": Verb("upcoming_invoice", a_subscriber, lambda b, _: b.upcoming_invoice(OWNER)),
    "preview": Verb("preview_change", a_subscriber, lambda b, _: b.preview_change(OWNER, "team", seats=3)),
    "upgrade": Verb("change_plan", a_quote_for_more, lambda b, f: b.change_plan(OWNER, f["quote"])),
    "downgrade": Verb("change_plan", a_quote_for_less, lambda b, f: b.change_plan(OWNER, f["quote"])),
    "add-ons": Verb("change_plan", a_quote_for_addons, lambda b, f: b.change_plan(OWNER, f["quote"])),
    "fewer add-ons": Verb(
        "change_plan", a_quote_for_less_of_what_was_archived, lambda b, f: b.change_plan(OWNER, f["quote"])
    ),
    "upgrade that is declined": Verb(
        "change_plan",
        a_card_that_is_declined,
        lambda b, f: _refused(lambda: b.change_plan(OWNER, f["quote"])),
        is_refused=True,
    ),
    "upgrade that the bank asks about": Verb(
        "change_plan", a_card_that_asks, lambda b, f: _refused(lambda: b.change_plan(OWNER, f["quote"]))
    ),
    "downgrade with a code": Verb("change_plan", a_change_with_a_code, lambda b, f: b.change_plan(OWNER, f["quote"])),
    "undo what waits": Verb("undo_change", a_change_that_waits, lambda b, _: b.undo_change(OWNER)),
    "pending": Verb("pending_change", a_change_that_waits, lambda b, _: b.pending_change(OWNER)),
    "undo": Verb("undo_change", a_planned_change, lambda b, _: b.undo_change(OWNER)),
    "cancel": Verb("cancel", a_subscriber, lambda b, _: b.cancel(OWNER, feedback="unused")),
    "cancel a planned change": Verb("cancel", a_planned_change, lambda b, _: b.cancel(OWNER)),
    "cancel now": Verb("cancel", somebody_who_is_late, lambda b, _: b.cancel(OWNER, when="now")),
    "cancel and refund": Verb("cancel", a_subscriber, lambda b, _: b.cancel(OWNER, when="now", refund_unused=True)),
    "refund after all": Verb(
        "cancel", a_refund_that_was_refused, lambda b, _: b.cancel(OWNER, when="now", refund_unused=True)
    ),
    "unused": Verb("unused", a_subscriber, lambda b, _: b.unused(OWNER)),
    "resume": Verb("resume", somebody_who_cancels, lambda b, _: b.resume(OWNER)),
    "end a pause": Verb("resume", somebody_who_pauses, lambda b, _: b.resume(OWNER)),
    "resume what stopped": Verb("resume", somebody_who_stopped, lambda b, _: b.resume(OWNER)),
    "cancel a trial and refund": Verb("cancel", a_trial, lambda b, _: b.cancel(OWNER, when="now", refund_unused=True)),
    "pause": Verb("pause", a_subscriber, lambda b, _: b.pause(OWNER)),
    "stop": Verb("pause", a_subscriber, lambda b, _: b.pause(OWNER, kind="subscription")),
    "pay": Verb("retry_payment", somebody_who_is_late, lambda b, _: b.retry_payment(OWNER)),
    "payment page": Verb("payment_url", somebody_who_is_late, lambda b, _: b.payment_url(OWNER)),
    "rename": Verb("update_customer", a_subscriber, lambda b, _: b.update_customer(OWNER, name="Ada Lovelace")),
    "transfer": Verb("transfer", a_subscriber, lambda b, _: b.transfer(OWNER, OTHER)),
    "transfer a planned change": Verb("transfer", a_planned_change, lambda b, _: b.transfer(OWNER, OTHER)),
    "delete what is planned": Verb(
        "delete_customer", a_planned_change_and_a_draft, lambda b, _: b.delete_customer(OWNER)
    ),
    "delete": Verb("delete_customer", somebody_who_is_late, lambda b, _: b.delete_customer(OWNER)),
    "sync": Verb("sync", somebody_who_was_renamed, lambda b, f: b.sync(f["customer"])),
    "reconcile": Verb("reconcile", somebody_who_was_renamed, lambda b, _: b.reconcile(fix=True), nobody_waits=True),
    "fill in events": Verb("fill_missed_events", a_paid_page, lambda b, _: b.fill_missed_events()),
    "push plans": Verb("push_catalog", an_empty_account, lambda b, _: b.push_catalog()),
    "push another price": Verb("push_catalog", a_price_that_changed, lambda b, _: b.push_catalog()),
}


def be_killed(settings: dict[str, Any], name: str, facts: Facts, call: Call) -> None:
    """What a process does that ends when it has made this call."""
    billing = Billing(Settings.from_env(**settings))
    with watched(at=call, fault="SIGKILL"):
        VERBS[name].do(billing, facts)


# what came of it


def outcome(world: World, told: dict[str, str]) -> dict[str, Any]:
    """How things stand at Stripe and here, and what was handed out (`told`: id and kind), without ids and times."""
    return {"at Stripe": _at_stripe(world.stripe), "here": _here(world.billing), "told": Counter(told.values())}


def _at_stripe(stripe: Emulator) -> dict[str, list[str]]:
    with httpx.Client(base_url=stripe.url, auth=("sk_test_paidup", ""), trust_env=False) as http:

        def listed(path: str, fact: Callable[[dict[str, Any]], object], **params: str) -> list[str]:
            answer = http.get(f"/v1/{path}", params={"limit": "100", **params})
            return sorted(repr(fact(each)) for each in answer.raise_for_status().json()["data"])

        return {
            "customers": listed(
                "customers", lambda each: (each["email"], each["name"], each["metadata"].get("paidup_owner"))
            ),
            "subscriptions": listed("subscriptions", _subscription, status="all"),
            "invoices": listed("invoices", lambda each: _of(each, "status", "billing_reason", "total", "amount_paid")),
            "charges": listed("charges", lambda each: _of(each, "status", "amount", "amount_refunded")),
            "sessions": listed("checkout/sessions", lambda each: _of(each, "status", "amount_total")),
            "schedules": listed("subscription_schedules", lambda each: (each["status"], len(each["phases"]))),
            "prices": listed("prices", lambda each: _of(each, "lookup_key", "active")),
            "products": listed("products", lambda each: _of(each, "name", "active")),
            "portals": listed("billing_portal/configurations", lambda each: _of(each, "active")),
        }


def _of(body: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {field: body[field] for field in fields}


def _subscription(body: dict[str, Any]) -> object:
    return (
        _of(body, "status", "cancel_at_period_end", "pause_collection"),
        body["schedule"] is not None,
        body["pending_update"] is not None,
        body["cancellation_details"]["feedback"],
        body["metadata"].get("paidup_owner"),
        [(item["price"]["lookup_key"], item["quantity"]) for item in body["items"]["data"]],
    )


def _here(billing: Billing) -> dict[str, Any]:
    database = Database(billing.settings.database_url.get_secret_value())
    try:
        with database.read() as session:

            def rows(*columns: Any) -> list[str]:
                return _sorted(tuple(row) for row in session.execute(select(*columns)))

            return {
                "owners": rows(OwnerMapping.owner, OwnerMapping.customer_id.is_not(None)),
                "customers": rows(Customer.owner, Customer.email, Customer.name, Customer.deleted),
                "subscriptions": rows(Subscription.status, Subscription.plan),
                "invoices": rows(Invoice.status, Invoice.amount_refunded),
                "credits": rows(CreditBalance.owner, CreditBalance.credit, CreditBalance.units),
                "checkouts": rows(CheckoutIntent.owner, CheckoutIntent.plan, CheckoutIntent.state),
                "quotes": sorted(set(rows(StoredQuote.state))),  # each look makes one, which holds for half an hour
                "waiting": [
                    target.partition(":")[0]
                    for target in session.scalars(
                        select(SyncTarget.target).where(SyncTarget.applied < SyncTarget.requested)
                    )
                ],
            }
    finally:
        database.close()


def _sorted(facts: Any) -> list[str]:
    return sorted(repr(each) for each in facts)
