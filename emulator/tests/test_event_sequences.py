"""
The events of each thing that happens, line by line as EMULATOR.md, "Event sequences", gives them.

Stripe promises no order; where a line is [REC] or [SUP] its order is held, where it is [INF] or [LOG] only the set. The
numbers in the names of things ("x2") are held as well.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import NEEDS_3DS, Shop, period
from stripe_emulator import Emulator

UPDATED, CREATED, DELETED = (f"customer.subscription.{word}" for word in ("updated", "created", "deleted"))
PAID = ["invoice.updated", "invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid"]
CHARGED = ["charge.succeeded", "payment_intent.succeeded"]
DECLINED = ["charge.failed", "payment_intent.payment_failed", "invoice.updated", "invoice.payment_failed"]


def previous(shop: Shop, type: str) -> dict[str, Any]:
    """What the latest event of a type says was before."""
    found: dict[str, Any] = shop.last_event(type)["data"]["previous_attributes"]
    return found


def about(shop: Shop, type: str) -> dict[str, Any]:
    """What the latest event of a type is about."""
    found: dict[str, Any] = shop.last_event(type)["data"]["object"]
    return found


def subscribed(shop: Shop, card: str = "pm_card_visa", **more: Any) -> stripe.Subscription:
    """A subscription of a new customer."""
    return shop.subscribe(shop.customer(card).id, shop.price().id, **more)


def change(shop: Shop, subscription: stripe.Subscription, behavior: str, **item: Any) -> list[str]:
    """Change the first item; returns the types of the events of it."""
    sent: Any = {"id": subscription["items"].data[0].id, **item}
    seen = shop.seen()
    shop.api.subscriptions.update(subscription.id, {"items": [sent], "proration_behavior": behavior})
    return shop.types_since(seen)


def test_checkout_of_a_subscription(shop: Shop) -> None:
    """[INF from LOG+DOC] a set; created active, with everything paid before the session is complete."""
    session = shop.session(shop.price().id)
    seen = shop.seen()
    shop.pay(session.id)
    types = shop.types_since(seen)
    assert sorted(types) == sorted(
        [
            "customer.created",
            "customer.updated",
            "payment_intent.created",
            "payment_method.attached",
            *CHARGED,
            CREATED,
            "invoice.created",
            "invoice.finalized",
            *PAID,
            "checkout.session.completed",
        ]
    )
    assert about(shop, CREATED)["status"] == "active"
    done = about(shop, "checkout.session.completed")
    assert (done["status"], done["payment_status"]) == ("complete", "paid")
    assert types[-1] == "checkout.session.completed"


def test_the_payments_intent_knows_no_invoice_until_the_session_is_complete(shop: Shop) -> None:
    """[DOC basil] the subscription and invoice are created only after the payment."""
    session = shop.session(shop.price().id)
    challenge = shop.pay(session.id, NEEDS_3DS).headers["Location"]
    assert not {CREATED, "invoice.created"} & set(shop.types_since())
    shop.pages.post(challenge, data={"answer": "complete"})
    types = shop.types_since()
    assert types.index("payment_intent.succeeded") < types.index(CREATED) < types.index("invoice.created")


def test_a_trials_start(shop: Shop) -> None:
    """[REC] a paid invoice of zero, then the subscription."""
    customer, price = shop.customer(), shop.price()
    shop.api.customers.update(customer.id, {"balance": 0})
    seen = shop.seen()
    subscription = shop.subscribe(customer.id, price.id, trial_period_days=14)
    types = [type for type in shop.types_since(seen) if type != "customer.updated"]
    assert types == ["invoice.created", "invoice.finalized", "invoice.paid", CREATED]
    invoice = about(shop, "invoice.paid")
    assert (invoice["billing_reason"], invoice["total"], invoice["status"]) == ("subscription_create", 0, "paid")
    assert invoice["lines"]["data"][0]["description"].startswith("Free trial for 1 ")
    assert subscription.status == "trialing"


def test_a_trials_natural_end(shop: Shop, emulator: Emulator) -> None:
    """trialing to active with a draft of the cycle, then an hour later as a renewal."""
    subscribed(shop, trial_period_days=14)
    emulator.advance(days=13.9)
    seen = shop.seen()
    emulator.advance(days=0.1)
    assert sorted(shop.types_since(seen)) == sorted(["invoice.created", UPDATED])
    assert previous(shop, UPDATED)["status"] == "trialing"
    assert "items" in previous(shop, UPDATED)
    assert (about(shop, UPDATED)["status"], about(shop, "invoice.created")["status"]) == ("active", "draft")
    assert about(shop, "invoice.created")["billing_reason"] == "subscription_cycle"
    seen = shop.seen()
    emulator.advance(seconds=3600)
    assert shop.types_since(seen) == ["invoice.finalized", "payment_intent.created", *CHARGED, *PAID]


def test_a_trial_ended_now(shop: Shop) -> None:
    """[REC/SW] an invoice of reason subscription_update, charged at once."""
    subscription = subscribed(shop, trial_period_days=14)
    seen = shop.seen()
    shop.api.subscriptions.update(subscription.id, {"trial_end": "now"})
    types = shop.types_since(seen)
    assert types[:2] == ["invoice.created", "invoice.finalized"]
    assert {"charge.succeeded", "invoice.payment_succeeded", "invoice.paid"} <= set(types)
    assert types[-1] == UPDATED
    assert about(shop, "invoice.created")["billing_reason"] == "subscription_update"


@pytest.mark.parametrize(("behavior", "type"), [("pause", "customer.subscription.paused"), ("cancel", DELETED)])
def test_a_trials_end_without_a_card(shop: Shop, emulator: Emulator, behavior: Any, type: str) -> None:
    """[REC] paused or deleted, and no invoice."""
    customer = shop.customer(card=None)
    settings: Any = {"end_behavior": {"missing_payment_method": behavior}}
    shop.subscribe(customer.id, shop.price().id, trial_period_days=14, trial_settings=settings)
    emulator.advance(days=12)
    seen = shop.seen()
    emulator.advance(days=3)
    types = shop.types_since(seen)
    assert type in types
    assert not [one for one in types if one.startswith("invoice.")]


def test_a_renewal(shop: Shop, emulator: Emulator) -> None:
    """[SUP] drafted at the boundary, charged an hour later; customer.updated only to clear delinquent."""
    subscription = subscribed(shop)
    emulator.advance(seconds=period(subscription)[1] - int(emulator.now.timestamp()) - 60)
    seen = shop.seen()
    emulator.advance(seconds=61)
    assert shop.types_since(seen) == ["invoice.created", UPDATED]
    assert set(previous(shop, UPDATED)) == {"items", "latest_invoice"}
    seen = shop.seen()
    emulator.advance(seconds=3600)
    assert shop.types_since(seen) == ["invoice.finalized", "payment_intent.created", *CHARGED, *PAID]


def test_a_failed_renewal_its_retries_and_its_recovery(shop: Shop, emulator: Emulator) -> None:
    """[SUP] past due and delinquent at the first failure; each retry the same four; recovery by paying the latest."""
    subscription = subscribed(shop)
    shop.give_card(str(subscription.customer), "pm_card_chargeCustomerFail")
    emulator.advance(seconds=period(subscription)[1] - int(emulator.now.timestamp()) + 1)
    seen = shop.seen()
    emulator.advance(seconds=3600)
    assert shop.types_since(seen) == [
        "invoice.finalized",
        "payment_intent.created",
        *DECLINED,
        UPDATED,
        "customer.updated",
    ]
    assert previous(shop, UPDATED) == {"status": "active"}
    assert previous(shop, "customer.updated") == {"delinquent": False}
    for count in (2, 3):
        seen = shop.seen()
        emulator.advance(to="retry")
        assert shop.types_since(seen) == DECLINED
        assert about(shop, "invoice.payment_failed")["attempt_count"] == count
    shop.give_card(str(subscription.customer), "pm_card_visa")
    seen = shop.seen()
    shop.api.invoices.pay(str(shop.api.subscriptions.retrieve(subscription.id).latest_invoice))
    assert shop.types_since(seen) == [*CHARGED, *PAID, UPDATED, "customer.updated"]
    assert previous(shop, UPDATED) == {"status": "past_due"}


def test_a_cancellation_at_the_periods_end(shop: Shop, emulator: Emulator) -> None:
    """Scheduled with the status unchanged, undone, scheduled again, deleted at the boundary without an invoice."""
    subscription = subscribed(shop)
    fields = {"cancel_at", "cancel_at_period_end", "canceled_at", "cancellation_details"}
    for wanted in (True, False, True):
        seen = shop.seen()
        shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": wanted})
        assert shop.types_since(seen) == [UPDATED]
        assert set(previous(shop, UPDATED)) == fields
    seen = shop.seen()
    emulator.advance(days=32)
    assert shop.types_since(seen) == [DELETED]
    assert about(shop, DELETED)["cancellation_details"]["reason"] == "cancellation_requested"


def test_a_cancellation_in_the_portal_and_its_undoing(shop: Shop, emulator: Emulator) -> None:
    """[DOC billing-mode/compare; stripe-node#2470] flexible: cancel_at is set, cancel_at_period_end stays false."""
    subscription = subscribed(shop)
    secret = shop.portal(str(subscription.customer)).url.rsplit("/", 1)[-1]
    path = f"/p/session/{secret}/subscriptions/{subscription.id}"
    for verb in ("cancel", "resume", "cancel"):
        seen = shop.seen()
        shop.pages.post(f"{path}/{verb}", data={"feedback": "too_expensive"} if verb == "cancel" else {})
        assert shop.types_since(seen) == [UPDATED]
        assert set(previous(shop, UPDATED)) == {"cancel_at", "canceled_at", "cancellation_details"}
        assert about(shop, UPDATED)["cancel_at_period_end"] is False
    seen = shop.seen()
    emulator.advance(days=32)
    assert shop.types_since(seen) == [DELETED]
    assert about(shop, DELETED)["cancellation_details"]["feedback"] == "too_expensive"


def test_an_immediate_cancellation(shop: Shop, emulator: Emulator) -> None:
    """canceled, ended_at, reason; prorate makes an item before it, invoice_now an invoice too."""
    seen = len(shop.types_since())
    plain = subscribed(shop)
    seen = shop.seen()
    shop.api.subscriptions.cancel(plain.id)
    assert shop.types_since(seen) == [DELETED]
    ended = about(shop, DELETED)
    assert (ended["status"], ended["ended_at"]) == ("canceled", ended["canceled_at"])
    assert ended["cancellation_details"]["reason"] == "cancellation_requested"
    credited = subscribed(shop)
    emulator.advance(days=10)
    seen = shop.seen()
    shop.api.subscriptions.cancel(credited.id, {"prorate": True, "invoice_now": True})
    types = shop.types_since(seen)
    assert types.index("invoiceitem.created") < types.index(DELETED) < types.index("invoice.created")
    assert {"invoice.finalized", "invoice.paid"} <= set(types)


@pytest.mark.parametrize("item", [{"quantity": 3}, {"price": "business"}])
def test_a_change_with_prorations_for_the_next_invoice(shop: Shop, emulator: Emulator, item: dict[str, Any]) -> None:
    """Two items pending, the subscription updated, no invoice; a quantity is prorated whole just so."""
    subscription = subscribed(shop)
    wanted = {"price": shop.price(10_000).id} if "price" in item else item
    emulator.advance(days=10)
    assert change(shop, subscription, "create_prorations", **wanted) == [
        "invoiceitem.created",
        "invoiceitem.created",
        UPDATED,
    ]
    assert set(previous(shop, UPDATED)) == {"items"}
    [credit, debit] = sorted(one["data"]["object"]["amount"] for one in shop.emulator.events("invoiceitem.created"))
    assert credit < 0 < debit


def test_an_upgrade_invoiced_at_once(shop: Shop, emulator: Emulator) -> None:
    """Items, invoice, charge, and the subscription last, with its items and latest_invoice as they were."""
    subscription = subscribed(shop)
    business = shop.price(10_000).id
    emulator.advance(days=10)
    types = change(shop, subscription, "always_invoice", price=business)
    assert types == [
        "invoiceitem.created",
        "invoiceitem.created",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        *CHARGED,
        *PAID,
        UPDATED,
    ]
    assert set(previous(shop, UPDATED)) == {"items", "latest_invoice"}
    assert about(shop, "invoice.created")["billing_reason"] == "subscription_update"


def test_a_downgrade_invoiced_at_once(shop: Shop, emulator: Emulator) -> None:
    """A negative total is paid without an attempt, and the customer's balance falls."""
    subscription = shop.subscribe(shop.customer().id, shop.price(10_000).id)
    basic = shop.price(1000).id
    emulator.advance(days=10)
    types = change(shop, subscription, "always_invoice", price=basic)
    assert "charge.succeeded" not in types
    assert {"invoice.created", "invoice.finalized", "invoice.paid", "customer.updated", UPDATED} <= set(types)
    invoice = about(shop, "invoice.paid")
    assert invoice["total"] < 0
    assert (invoice["status"], invoice["attempt_count"], invoice["amount_due"]) == ("paid", 0, 0)
    assert about(shop, "customer.updated")["balance"] == invoice["total"]
    assert previous(shop, "customer.updated")["balance"] == 0


def test_a_change_without_prorations(shop: Shop, emulator: Emulator) -> None:
    subscription = subscribed(shop)
    business = shop.price(10_000).id
    emulator.advance(days=10)
    assert change(shop, subscription, "none", price=business) == [UPDATED]


def test_a_card_from_the_portal(shop: Shop) -> None:
    """[INF] the default moves; what becomes of a subscription's own is not documented, and here it stays."""
    customer = shop.customer()
    [method] = shop.api.payment_methods.list({"customer": customer.id}).data
    shop.subscribe(customer.id, shop.price().id, default_payment_method=method.id)
    seen = shop.seen()
    session = shop.portal(customer.id)
    secret = session.url.rsplit("/", 1)[-1]
    form = {"cardNumber": "5555555555554444", "cardExpiry": "12/40", "cardCvc": "123"}
    shop.pages.post(f"/p/session/{secret}/payment-method", data=form)
    types = shop.types_since(seen)
    assert set(types) == {
        "billing_portal.configuration.created",
        "billing_portal.session.created",
        "setup_intent.created",
        "setup_intent.succeeded",
        "payment_method.attached",
        "customer.updated",
    }
    assert set(previous(shop, "customer.updated")["invoice_settings"]) == {"default_payment_method"}


def test_a_first_payment_that_wants_authentication(shop: Shop) -> None:
    """[REC/SW] the subscription comes last and incomplete; done, it becomes active."""
    customer, price = shop.customer("pm_card_authenticationRequired"), shop.price()
    seen = shop.seen()
    subscription = shop.subscribe(customer.id, price.id, expand=["latest_invoice.payments"])
    types = [type for type in shop.types_since(seen) if type not in ("customer.updated", "invoice.updated")]
    assert types == [
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "payment_intent.requires_action",
        "invoice.payment_action_required",
        CREATED,
    ]
    assert about(shop, CREATED)["status"] == "incomplete"
    asked = about(shop, "invoice.payment_action_required")
    assert (asked["attempted"], asked["attempt_count"]) == (True, 0)
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert invoice.payments is not None
    intent = shop.api.payment_intents.retrieve(str(invoice.payments.data[0].payment.payment_intent))
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    seen = shop.seen()
    shop.pages.post(str(intent.next_action.redirect_to_url.url), data={"answer": "complete"})
    types = shop.types_since(seen)
    assert {*CHARGED, "invoice.paid", UPDATED} <= set(types)
    assert (previous(shop, UPDATED)["status"], about(shop, UPDATED)["status"]) == ("incomplete", "active")


def test_a_first_payment_nobody_authenticates(shop: Shop, emulator: Emulator) -> None:
    """After 23 hours incomplete_expired, and its invoice voided."""
    subscribed(shop, "pm_card_authenticationRequired")
    seen = shop.seen()
    emulator.advance(seconds=23 * 3600 + 1)
    types = shop.types_since(seen)
    assert {UPDATED, "invoice.voided"} <= set(types)
    assert about(shop, UPDATED)["status"] == "incomplete_expired"


def test_a_first_payment_that_is_declined(shop: Shop) -> None:
    """[REC/SW] the subscription comes last and incomplete."""
    customer, price = shop.customer("pm_card_chargeCustomerFail"), shop.price()
    seen = shop.seen()
    shop.subscribe(customer.id, price.id)
    types = [type for type in shop.types_since(seen) if type.startswith(("invoice.", "charge.", "customer.sub"))]
    assert [type for type in types if type != "invoice.updated"] == [
        "invoice.created",
        "invoice.finalized",
        "charge.failed",
        "invoice.payment_failed",
        CREATED,
    ]
    assert about(shop, "invoice.payment_failed")["attempt_count"] == 1


def test_a_first_payment_that_succeeds_is_created_active(shop: Shop) -> None:
    """[DOC] billing/subscriptions/overview: nothing is told of a subscription before it is created."""
    customer, price = shop.customer(), shop.price()
    seen = shop.seen()
    shop.subscribe(customer.id, price.id)
    types = shop.types_since(seen)
    assert UPDATED not in types
    assert types.count(CREATED) == 1
    assert about(shop, CREATED)["status"] == "active"


def test_a_refund(shop: Shop, emulator: Emulator) -> None:
    """refund.created, charge.refunded, then the updates; the subscription does not change."""
    subscription = subscribed(shop)
    charge = about(shop, "charge.succeeded")["id"]
    seen = shop.seen()
    refund = shop.api.refunds.create({"charge": charge, "amount": 1000})
    assert shop.types_since(seen) == ["refund.created", "charge.refunded"]
    assert previous(shop, "charge.refunded") == {"amount_refunded": 0}
    shop.api.refunds.update(refund.id, {"metadata": {"k": "v"}})
    assert {"refund.updated", "charge.refund.updated"} <= set(shop.types_since(seen))
    assert UPDATED not in shop.types_since(seen)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
