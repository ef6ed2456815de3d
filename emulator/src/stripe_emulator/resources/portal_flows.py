"""
What a portal session is opened for: `flow_data`, and what Stripe refuses of it.

See https://docs.stripe.com/customer-management/portal-deep-links
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.billing import discounts, standing
from stripe_emulator.billing.pricing import amount_of
from stripe_emulator.protocol.errors import invalid, no_such
from stripe_emulator.resources import subscription_pauses
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

FEATURES = {
    "customer_update": "customer_update",
    "payment_method_update": "payment_method_update",
    "subscription_cancel": "subscription_cancel",
    "subscription_pause": "subscription_pause",
    "subscription_update": "subscription_update",
    "subscription_update_confirm": "subscription_update",
}
"""The flows, and the feature of the configuration that each needs."""
OF_A_CUSTOMER = ("customer_update", "payment_method_update")
_DOES = {"subscription_cancel": "canceled", "subscription_pause": "paused", "subscription_update": "updated"}


def read(engine: Engine, sent: Params, configuration: Json, customer: Json) -> Json | None:
    """The session's `flow`; None without one."""
    if not sent:
        return None
    type = sent["type"]
    if type not in FEATURES:
        raise invalid(f"stripe_emulator does not have the {type} flow", param="flow_data[type]")
    _check_enabled(type, configuration)
    for other in FEATURES:
        if other != type and other in sent:
            raise invalid(f"You may only pass `{other}` when `type` is `{other}`.", param=sent.name_of(other))
    flow: Json = dict.fromkeys((name for name in FEATURES if name != "payment_method_update"), None)
    flow |= {"after_completion": _after_completion(sent.at("after_completion")), "type": type}
    if type == "customer_update":
        flow[type] = {}
    elif type not in OF_A_CUSTOMER:
        flow[type] = _about_one(engine, type, sent, configuration, customer)
    return flow


def _check_enabled(type: str, configuration: Json) -> None:
    feature = FEATURES[type]
    found = configuration["features"][feature]
    if found["enabled"] and (feature != "customer_update" or found["allowed_updates"]):
        return
    if feature in _DOES:
        raise invalid(
            f"This subscription cannot be {_DOES[feature]} because the {feature.replace('_', ' ')} feature in the "
            "portal configuration is disabled."
        )
    raise invalid(f"This flow is disabled: the configuration's features[{feature}] is not enabled.")


def _about_one(engine: Engine, type: str, sent: Params, configuration: Json, customer: Json) -> Json:
    if type not in sent:
        raise invalid(f"Missing required param: flow_data[{type}].", param=sent.name_of(type), code="parameter_missing")
    details = sent.at(type)
    param = details.name_of("subscription")
    subscription = engine.find("subscription", details["subscription"], param=param)
    if subscription["customer"] != customer["id"]:
        raise invalid("The subscription is not this customer's.", param=param)
    if subscription["status"] in standing.ENDED:
        raise invalid(f"This subscription cannot be changed because its status is {subscription['status']}.")
    flow: Json = {"subscription": subscription["id"]}
    match type:
        case "subscription_cancel":
            _check_cancelable(subscription)
            flow["retention"] = None
        case "subscription_pause":
            check_pausable(subscription)
        case "subscription_update_confirm":
            check_updatable(subscription)
            flow["items"] = [_item(engine, details, subscription, configuration)]
            flow["discounts"] = _discounts(engine, details, customer, subscription, flow["items"][0])
        case _:
            check_updatable(subscription)
    return flow


def _check_cancelable(subscription: Json) -> None:
    """As reported of the real API, also where `cancel_at` alone is set."""
    if subscription["cancel_at"] is not None:
        raise invalid("The subscription is already set to be canceled at period end.")
    _check_no_schedule(subscription, "canceled")


def check_updatable(subscription: Json) -> None:
    """
    Refuse what the portal can only cancel, saying why.

    See https://docs.stripe.com/customer-management#customer-portal-limitations
    """
    _check_simple(subscription, "updated")
    if subscription["cancel_at"] is not None:
        raise invalid("This subscription cannot be updated because it is set to be canceled.")
    _check_no_schedule(subscription, "updated")


def check_pausable(subscription: Json) -> None:
    """Refuse what the portal or the API can't pause, saying why."""
    _check_simple(subscription, "paused")
    if subscription["cancel_at"] is not None:
        raise invalid("This subscription cannot be paused because it is set to be canceled.")
    subscription_pauses.check_pausable(subscription)


def _check_simple(subscription: Json, done: str) -> None:
    if len(subscription["items"]) > 1:
        raise invalid(f"This subscription cannot be {done} because it has multiple items.")
    if subscription["collection_method"] != "charge_automatically":
        raise invalid(f"This subscription cannot be {done} because its collection method is send_invoice.")


def _check_no_schedule(subscription: Json, done: str) -> None:
    if subscription["schedule"] is not None:
        raise invalid(
            f"This subscription cannot be {done} because it is managed by the subscription schedule "
            f"`{subscription['schedule']}`."
        )


def _item(engine: Engine, details: Params, subscription: Json, configuration: Json) -> Json:
    """The one item of a change that is to be confirmed."""
    param = details.name_of("items")
    items = details.list_of("items")
    if len(items) != 1:
        raise invalid("You must pass exactly one item to be updated.", param=param)
    sent, (current,) = items[0], subscription["items"]
    if sent["id"] != current["id"]:
        raise no_such("subscription_item", sent["id"], param=f"{param}[0][id]")
    price, quantity = sent.get("price"), sent.get("quantity")
    feature = configuration["features"]["subscription_update"]
    wanted = _price(engine, price or current["price"], subscription, feature, param=f"{param}[0][price]")
    changes = {
        "price": price not in (None, current["price"]),
        "quantity": quantity not in (None, current["quantity"]),
    }
    if not any(changes.values()):
        raise invalid("Cannot update the subscription because there are no changes to confirm.")
    for what, changed in changes.items():
        if changed and what not in feature["default_allowed_updates"]:
            raise invalid(
                f"This subscription cannot be updated because {what} updates are not allowed by the portal "
                "configuration.",
                param=f"{param}[0][{what}]",
            )
    if quantity is not None and not is_within(feature, wanted, quantity):
        raise invalid("This quantity is not allowed by the portal configuration.", param=f"{param}[0][quantity]")
    return {"id": current["id"], "price": price, "quantity": quantity}


def _price(engine: Engine, id: str, subscription: Json, feature: Json, *, param: str) -> Json:
    price = engine.store.get(id, "price")
    if price is None:
        raise no_such("price", id, param=param)
    if not any(id in product["prices"] for product in feature["products"] or []):
        raise invalid(
            "This subscription cannot be updated because the price is not included in the portal configuration's "
            "features[subscription_update][products].",
            param=param,
        )
    if not price["active"] or price["currency"] != subscription["currency"]:
        raise invalid("This subscription cannot be updated to this price.", param=param)
    return price


def is_within(feature: Json, price: Json, quantity: int) -> bool:
    """
    Does the configuration let there be so many of a price?

    A product whose quantity is said to be adjustable has bounds. Of one that says nothing the SDK's types leave open
    what the feature's own `quantity` allows: it is taken at its word.
    """
    bounds = next(
        (one["adjustable_quantity"] for one in feature["products"] or [] if price["id"] in one["prices"]), None
    )
    if bounds is None or not bounds["enabled"]:
        return True
    most = bounds["maximum"]
    return bool(bounds["minimum"] <= quantity and (most is None or quantity <= most))


def _discounts(engine: Engine, details: Params, customer: Json, subscription: Json, item: Json) -> list[Json] | None:
    sent = details.list_of("discounts")
    if not sent:
        return None
    if len(sent) > 1:
        raise invalid("You can only apply one discount to a subscription update.", param=details.name_of("discounts"))
    current = subscription["items"][0]
    price = engine.find("price", item["price"] or current["price"])
    discounts.wishes(
        engine,
        sent,
        customer=customer,
        currency=subscription["currency"],
        subtotal=amount_of(price, item["quantity"] or current["quantity"], subscription["currency"]),
    )
    return [{"coupon": each.get("coupon"), "promotion_code": each.get("promotion_code")} for each in sent]


def _after_completion(sent: Params) -> Json:
    type = sent.get("type", "portal_homepage")
    return {
        "hosted_confirmation": {"custom_message": sent.at("hosted_confirmation").get("custom_message")}
        if type == "hosted_confirmation"
        else None,
        "redirect": {"return_url": sent.at("redirect")["return_url"]} if type == "redirect" else None,
        "type": type,
    }
