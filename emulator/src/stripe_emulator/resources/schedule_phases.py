"""The phases of a subscription schedule, as sent and as kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_emulator.billing import currencies, discounts
from stripe_emulator.billing.periods import add_along
from stripe_emulator.billing.schedules import phase_item
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.resources import payment_methods, prices
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

MOST = 10


def parse(engine: Engine, customer: Json, sent: list[Params], *, start: int, anchor: int | None) -> list[Json]:
    """
    Phases one after the other from `start`; `anchor` is that of the subscription's cycle, None when it is to start.

    A phase without an end lasts until the next one's `start_date`, or one interval of its first price.
    """
    if len(sent) > MOST:
        raise invalid(f"You can only have up to {MOST} current and future phases.", param="phases")
    now = engine.now(customer["test_clock"])
    made: list[Json] = []
    anchor = start if anchor is None else anchor
    for position, phase in enumerate(sent):
        begins = _moment(phase.get("start_date"), now)
        if begins is not None and begins != start:
            raise invalid(
                "The start_date of a phase must be equal to the end_date of the phase before it.",
                param=phase.name_of("start_date"),
            )
        following = sent[position + 1] if position + 1 < len(sent) else Params()
        made.append(_parse(engine, customer, phase, following, start=start, anchor=anchor))
        start = made[-1]["end_date"]
        if made[-1]["billing_cycle_anchor"] == "phase_start":
            anchor = made[-1]["start_date"]
        anchor = made[-1]["trial_end"] or anchor
    return made


def of_subscription(engine: Engine, subscription: Json) -> Json:
    """The phase that a subscription's current period is."""
    items = [
        {
            **phase_item(item["price"], item["quantity"], dict(item["metadata"])),
            "discounts": [_named(discount=id) for id in item["discounts"]],
        }
        for item in subscription["items"]
    ]
    return _phase(
        currency=subscription["currency"],
        discounts=[_named(discount=id) for id in subscription["discounts"]],
        start_date=min(item["current_period_start"] for item in subscription["items"]),
        end_date=subscription["cancel_at"] or max(item["current_period_end"] for item in subscription["items"]),
        items=items,
        trial_end=subscription["trial_end"] if subscription["status"] == "trialing" else None,
    )


def _parse(engine: Engine, customer: Json, sent: Params, following: Params, *, start: int, anchor: int) -> Json:
    now = engine.now(customer["test_clock"])
    found = [_item(engine, item) for item in sent.list_of("items")]
    if not found:
        raise invalid("Missing required param: items.", param=sent.name_of("items"), code="parameter_missing")
    places = [(price, f"{sent.name_of('items')}[{position}][price]") for position, (price, _) in enumerate(found)]
    currency = currencies.choose(engine, customer, places, sent.get("currency"))
    resets = sent.get("billing_cycle_anchor") == "phase_start"
    end = _end(sent, following, found[0][0], start=start, anchor=start if resets else anchor, now=now)
    wishes = sent.list_of("discounts")
    discounts.wishes(engine, wishes, customer=customer, currency=currency)
    method = sent.get("default_payment_method")
    if method is not None:
        param = sent.name_of("default_payment_method")
        method = payment_methods.usable(engine, method, customer["id"], param=param)["id"]
    return _phase(
        billing_cycle_anchor=sent.get("billing_cycle_anchor"),
        collection_method=sent.get("collection_method"),
        currency=currency,
        default_payment_method=method,
        description=sent.get("description") or None,
        discounts=[_named(**wish.as_dict()) for wish in wishes],
        end_date=end,
        items=[item for _, item in found],
        metadata=dict(sent.get("metadata") or {}),
        proration_behavior=sent.get("proration_behavior", "create_prorations"),
        start_date=start,
        trial_end=_trial_end(sent, start, end, now),
    )


def _item(engine: Engine, sent: Params) -> tuple[Json, Json]:
    data = sent.at("price_data")
    if data:
        price = prices.from_data(engine, data)
    else:
        name = "price" if "price" in sent else "plan"
        if name not in sent:
            raise invalid("Missing required param: price.", param=sent.name_of("price"), code="parameter_missing")
        price = prices.usable(engine, sent[name], param=sent.name_of(name), recurring=True)
        sent.ignore("price", "plan")
    return price, phase_item(price["id"], sent.get("quantity", 1), dict(sent.get("metadata") or {}))


def _end(sent: Params, following: Params, price: Json, *, start: int, anchor: int, now: int) -> int:
    duration, end = sent.at("duration"), _moment(sent.get("end_date"), now)
    if duration and end is not None:
        raise invalid(
            "You may only specify one of these parameters: duration, end_date.", param=sent.name_of("duration")
        )
    if end is None and not duration:
        end = _moment(following.get("start_date"), now)
    if duration:
        count = duration.get("interval_count", 1)
        if count < 1:
            raise invalid("This value must be greater than or equal to 1.", param=duration.name_of("interval_count"))
        end = add_along(anchor, duration["interval"], count, start)
    elif end is None:
        recurring = price["recurring"]
        end = add_along(anchor, recurring["interval"], recurring["interval_count"], start)
    if end <= start:
        raise invalid("The end_date of a phase must be after its start_date.", param=sent.name_of("end_date"))
    return end


def _trial_end(sent: Params, start: int, end: int, now: int) -> int | None:
    whole, until = sent.get("trial"), _moment(sent.get("trial_end"), now)
    if whole and until is not None:
        raise invalid("You may only specify one of these parameters: trial, trial_end.", param=sent.name_of("trial"))
    if until is not None and not start <= until <= end:
        raise invalid("The trial_end of a phase must lie within it.", param=sent.name_of("trial_end"))
    if (whole or until) and sent.get("billing_cycle_anchor") == "phase_start":
        raise invalid(
            "billing_cycle_anchor cannot be set to phase_start if the phase specifies a trial.",
            param=sent.name_of("billing_cycle_anchor"),
        )
    return end if whole else until


def _moment(value: Any, now: int) -> int | None:
    if value == "now":
        return now
    return None if value is None else int(value)


def _named(*, coupon: str | None = None, discount: str | None = None, promotion_code: str | None = None) -> Json:
    return {"coupon": coupon, "discount": discount, "promotion_code": promotion_code}


def _phase(**fields: Any) -> Json:
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "invoice_settings": None,
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": "create_prorations",
        "transfer_data": None,
        "trial_end": None,
        **fields,
    }
