"""What the billing portal does: card, cancellation and its undoing, pause, plan, invoices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stripe_emulator import invoice_page, portal_details, typed_card
from stripe_emulator.billing import standing
from stripe_emulator.billing.attempts import Attempt
from stripe_emulator.billing.challenges import challenge_of
from stripe_emulator.billing.changing_plans import credit_unused_time
from stripe_emulator.billing.currencies import sold_in
from stripe_emulator.billing.periods import interval_length
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.billing.setups import confirm_setup, create_setup_intent, fail_setup_authentication
from stripe_emulator.hosted_views import CardInput, DetailsInput, InvoiceView, Outcome, PortalView, PriceChoice, SubView
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.rendering import show
from stripe_emulator.resources import (
    item_changes,
    payment_methods,
    portal_flows,
    portal_sessions,
    subscription_pauses,
    subscription_schedules,
    subscription_updates,
)
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

PURPOSE = "portal"
INVOICES_SHOWN = 24
GONE = Outcome("closed", "This page has expired. Return to the site and open it again.")


def find(engine: Engine, secret: str) -> Json | None:
    """The session behind a secret, while it may be used."""
    for found in engine.store.scan("billing_portal.session"):
        if found["_secret"] == secret and portal_sessions.is_usable(found):
            return engine.find("billing_portal.session", found["id"])
    return None


def view(engine: Engine, session: Json) -> PortalView:
    """The portal's home."""
    customer = engine.find("customer", session["customer"])
    configuration = engine.find("billing_portal.configuration", session["configuration"])
    features = configuration["features"]
    subscriptions = [
        _subscription(engine, found, features)
        for found in engine.store.of_customer("subscription", customer["id"])
        if found["status"] not in (*standing.ENDED, "incomplete")
    ]
    invoices = [
        _invoice(engine, found)
        for found in engine.store.of_customer("invoice", customer["id"])
        if found["status"] != "draft"
    ]
    return PortalView(
        customer_email=customer["email"],
        payment_method=invoice_page.card_view(_default_card(engine, customer)),
        subscriptions=subscriptions,
        invoices=invoices[:INVOICES_SHOWN] if features["invoice_history"]["enabled"] else [],
        return_url=session["return_url"],
        features=features,
        flow=_flow(engine, session),
        merchant_name=engine.settings.merchant_name,
        headline=configuration["business_profile"]["headline"],
        now=engine.now(customer["test_clock"]),
        details=portal_details.shown(customer, features["customer_update"]),
    )


def save_card(engine: Engine, session: Json, card: CardInput) -> Outcome:
    """
    Save a card and make it the default, of the customer and of every subscription that has one of its own.

    Raises a card error for a card that can't be right as typed.
    """
    customer = engine.find("customer", session["customer"])
    method = typed_card.make(engine, card, email=customer["email"], clock=customer["test_clock"])
    intent = create_setup_intent(engine, customer["id"], clock=customer["test_clock"])
    return _finish_card(engine, session, method, intent, confirm_setup(engine, intent, method))


def save_details(engine: Engine, session: Json, typed: DetailsInput) -> Outcome:
    """Change who the customer is."""
    customer = engine.find("customer", session["customer"])
    saved = portal_details.save(engine, customer, features_of(engine, session)["customer_update"], typed)
    return Outcome("complete", redirect=after(session)) if saved else GONE


def answer_challenge(engine: Engine, challenge: Json, intent: Json, ok: bool) -> Outcome:
    """What follows a 3D Secure challenge while saving a card."""
    session = engine.find("billing_portal.session", challenge["session"])
    method = engine.find("payment_method", challenge["method"])
    if ok:
        attempt = confirm_setup(engine, intent, method, authenticated=True)
    else:
        attempt = fail_setup_authentication(engine, intent)
    return _finish_card(engine, session, method, intent, attempt)


def cancel(engine: Engine, session: Json, subscription: Json, *, feedback: str | None, comment: str | None) -> Outcome:
    """
    At the period's end or at once, as configured.

    In flexible billing mode a scheduled end sets `cancel_at` only; `cancel_at_period_end` stays false. See
    https://docs.stripe.com/billing/subscriptions/billing-mode/compare
    """
    feature = features_of(engine, session)["subscription_cancel"]
    if not feature["enabled"] or subscription["status"] in standing.ENDED or subscription["cancel_at"]:
        return GONE
    if subscription["schedule"] is not None:
        return GONE
    if feature["mode"] == "immediately":
        if feature["proration_behavior"] != "none":
            credit_unused_time(engine, subscription)
        standing.cancel(
            engine, subscription, reason="cancellation_requested", feedback=feedback or None, comment=comment or None
        )
        if feature["proration_behavior"] == "always_invoice":
            item_changes.invoice_pending(engine, subscription)
        return Outcome("complete", redirect=after(session))
    with engine.changing(subscription, "customer.subscription.updated"):
        subscription_updates.end_at(
            engine,
            subscription,
            subscription_updates.max_period_end(subscription),
            at_period_end=subscription["billing_mode"]["type"] != "flexible",
        )
        subscription["cancellation_details"].update(feedback=feedback or None, comment=comment or None)
    return Outcome("complete", redirect=after(session))


def resume(engine: Engine, session: Json, subscription: Json) -> Outcome:
    """Undo a scheduled end."""
    if subscription["status"] in standing.ENDED or subscription["cancel_at"] is None or subscription["schedule"]:
        return GONE
    with engine.changing(subscription, "customer.subscription.updated"):
        subscription_updates.keep(subscription)
    return Outcome("complete")


def pause(engine: Engine, session: Json, subscription: Json) -> Outcome:
    """Pause at once, as `POST /v1/subscriptions/{id}/pause` does by default, until somebody resumes it."""
    if not _can_pause(subscription, features_of(engine, session)):
        return GONE
    subscription_pauses.pause(engine, [subscription["id"]], Params({"type": "subscription"}))
    return Outcome("complete", redirect=after(session))


def plan_choices(engine: Engine, session: Json, subscription: Json) -> list[PriceChoice]:
    """The prices it may switch to, its own among them."""
    if not _can_change(subscription, features_of(engine, session)):
        return []
    choices = []
    current = subscription["items"][0]["price"]
    for product in features_of(engine, session)["subscription_update"]["products"] or []:
        for id in product["prices"]:
            price = engine.store.get(id, "price")
            if price is None or not price["active"] or subscription["currency"] not in sold_in(price):
                continue
            choices.append(
                PriceChoice(
                    price_id=id,
                    name=engine.find("product", price["product"])["name"],
                    amount=amount_of(price, 1, subscription["currency"]),
                    currency=subscription["currency"],
                    interval=price["recurring"]["interval"],
                    interval_count=price["recurring"]["interval_count"],
                    current=id == current,
                )
            )
    return choices


def change_plan(engine: Engine, session: Json, subscription: Json, price_id: str, quantity: int) -> Outcome:
    """
    Switch, at once or by a schedule at the period's end; a declined payment leaves the plan as it was.

    Raises ApiError then.
    """
    if price_id not in {choice.price_id for choice in plan_choices(engine, session, subscription)}:
        return Outcome("closed", "This plan is not available.")
    feature = features_of(engine, session)["subscription_update"]
    if not portal_flows.is_within(feature, engine.find("price", price_id), quantity):
        return Outcome("closed", "This quantity is not available.")
    item: dict[str, Any] = {"id": subscription["items"][0]["id"], "price": price_id, "quantity": quantity}
    extra = discounts_of(session, subscription, price_id, quantity)
    if waits_for_the_end(engine, subscription, price_id, quantity, feature):
        later = Params({"price": price_id, "quantity": quantity}, "phases[1][items][0]")
        change = Params({"items": [later], "proration_behavior": "none", **extra}, "phases[1]")
        subscription_schedules.attach(engine, subscription, change)
        return Outcome("complete", redirect=after(session))
    sent: dict[str, Any] = {
        "items": [Params(item, "items[0]")],
        "proration_behavior": feature["proration_behavior"],
        "payment_behavior": "error_if_incomplete",
        **extra,
    }
    if subscription["status"] == "trialing" and feature["trial_update_behavior"] == "end_trial":
        sent["trial_end"] = "now"
    subscription_updates.update(engine, [subscription["id"]], Params(sent))
    return Outcome("complete", redirect=after(session))


def discounts_of(session: Json, subscription: Json, price_id: str, quantity: int) -> dict[str, list[Params]]:
    """The `discounts` of a switch: the present ones and that of the flow, for exactly the change the flow is about."""
    details = (session["flow"] or {}).get("subscription_update_confirm")
    if details is None or details["subscription"] != subscription["id"] or not details["discounts"]:
        return {}
    (item,), (current,) = details["items"], subscription["items"]
    if (item["price"] or current["price"], item["quantity"] or current["quantity"]) != (price_id, quantity):
        return {}
    added = [{name: value for name, value in each.items() if value} for each in details["discounts"]]
    every = [*({"discount": id} for id in subscription["discounts"]), *added]
    return {"discounts": [Params(each, f"discounts[{n}]") for n, each in enumerate(every)]}


def waits_for_the_end(engine: Engine, subscription: Json, price_id: str, quantity: int, feature: Json) -> bool:
    """
    Does a switch meet one of the configuration's conditions for the period's end?

    See https://docs.stripe.com/customer-management/configure-portal#downgrades
    """
    item, new = subscription["items"][0], engine.find("price", price_id)
    old = engine.find("price", item["price"])
    start, currency = item["current_period_start"], subscription["currency"]
    met = {
        "decreasing_item_amount": amount_of(new, quantity, currency) < amount_of(old, item["quantity"], currency),
        "shortening_interval": _length(new, start) < _length(old, start),
    }
    return any(met[condition["type"]] for condition in feature["schedule_at_period_end"]["conditions"])


def _length(price: Json, start: int) -> int:
    return interval_length(price["recurring"]["interval"], price["recurring"]["interval_count"], start)


def _finish_card(engine: Engine, session: Json, method: Json, intent: Json, attempt: Attempt) -> Outcome:
    home = f"/p/session/{session['_secret']}"
    if attempt.status == "failed":
        assert attempt.decline is not None
        return typed_card.declined(attempt.decline, redirect=home)
    if attempt.status == "requires_action":
        challenge = challenge_of(engine, intent)
        assert challenge is not None
        challenge.update(purpose=PURPOSE, session=session["id"], method=method["id"])
        return Outcome("requires_action", redirect=f"/c/3ds/{challenge['id']}")
    payment_methods.attach(engine, method, session["customer"])
    customer = engine.find("customer", session["customer"])
    with engine.changing(customer, "customer.updated"):
        customer["invoice_settings"]["default_payment_method"] = method["id"]
    return Outcome("complete", redirect=after(session))


def after(session: Json) -> str | None:
    """Where a session made for one task leads once that is done; None for the portal's home."""
    flow = session["flow"]
    if flow is not None and flow["after_completion"]["type"] == "redirect":
        return str(flow["after_completion"]["redirect"]["return_url"])
    return None


def _flow(engine: Engine, session: Json) -> Json | None:
    flow = session["flow"]
    if flow is None:
        return None
    details = flow.get(flow["type"]) or {}
    found = {"type": flow["type"], "subscription": details.get("subscription"), "return_url": after(session)}
    if flow["type"] == "subscription_update_confirm":
        (item,), (current,) = details["items"], engine.find("subscription", details["subscription"])["items"]
        found |= {"price": item["price"] or current["price"], "quantity": item["quantity"]}
    return found


def features_of(engine: Engine, session: Json) -> Json:
    """What the session's configuration allows."""
    features: Json = engine.find("billing_portal.configuration", session["configuration"])["features"]
    return features


def _default_card(engine: Engine, customer: Json) -> Json | None:
    """What renewals are charged to: a subscription's own card before the customer's default."""
    for found in engine.store.of_customer("subscription", customer["id"]):
        if found["status"] not in standing.ENDED:
            own = engine.store.get(found["default_payment_method"] or "", "payment_method")
            if own is not None:
                return own
    return engine.store.get(customer["invoice_settings"]["default_payment_method"] or "", "payment_method")


def _can_change(subscription: Json, features: Json) -> bool:
    update = features["subscription_update"]
    allowed = bool(update["enabled"] and update["products"] and update["default_allowed_updates"])
    return allowed and not _is_refused(portal_flows.check_updatable, subscription)


def _can_pause(subscription: Json, features: Json) -> bool:
    return features["subscription_pause"]["enabled"] and not _is_refused(portal_flows.check_pausable, subscription)


def _is_refused(check: Callable[[Json], None], subscription: Json) -> bool:
    try:
        check(subscription)
    except ApiError:
        return True
    return False


def _subscription(engine: Engine, subscription: Json, features: Json) -> SubView:
    item = subscription["items"][0]
    price = engine.find("price", item["price"])
    names = [
        str(engine.find("product", engine.find("price", one["price"])["product"])["name"])
        for one in subscription["items"]
    ]
    ends_here = bool(features["subscription_cancel"]["enabled"]) and subscription["schedule"] is None
    return SubView(
        id=subscription["id"],
        name=", ".join(names),
        amount=amount_of(price, 1, subscription["currency"]),
        currency=subscription["currency"],
        interval=price["recurring"]["interval"],
        interval_count=price["recurring"]["interval_count"],
        quantity=item["quantity"],
        status=subscription["status"],
        current_period_end=item["current_period_end"],
        cancel_at=subscription["cancel_at"],
        trial_end=subscription["trial_end"],
        can_cancel=ends_here and subscription["cancel_at"] is None,
        can_resume=ends_here and subscription["cancel_at"] is not None,
        can_change=_can_change(subscription, features),
        can_pause=_can_pause(subscription, features),
    )


def _invoice(engine: Engine, invoice: Json) -> InvoiceView:
    shown = show(engine, invoice)
    return InvoiceView(
        id=invoice["id"],
        number=invoice["number"],
        created=invoice["created"],
        amount=invoice["amount_due"] if invoice["status"] == "open" else invoice["total"],
        currency=invoice["currency"],
        status=invoice["status"],
        hosted_url=shown["hosted_invoice_url"],
        pdf_url=shown["invoice_pdf"],
        payable=invoice_page.is_payable(invoice),
    )
