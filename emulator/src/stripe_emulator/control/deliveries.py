"""Deliveries: their log, how they are disturbed, sending one again."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from stripe_emulator import delivery_rules as rules
from stripe_emulator import faults
from stripe_emulator.control.answers import deliverer_of, engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.delivery_rules import DELIVERY
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.resources.webhook_endpoints import find_endpoint
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

MODES: dict[str, faults.DeliveryMode] = {
    "pause": "paused",
    "resume": "normal",
    "normal": "normal",
    "duplicate": "duplicate",
    "shuffle": "shuffle",
    "drop": "drop",
}


async def list_deliveries(request: Request, sent: Sent) -> list[Json]:
    """The delivery log, newest first; `status` for one status."""
    wanted = sent.text("status")
    return [one for one in engine_of(request).store.scan(DELIVERY) if wanted in (None, one["status"])]


async def set_mode(request: Request, sent: Sent) -> Json:
    """`pause`, `resume`, `duplicate`, `shuffle` or `drop`."""
    engine = engine_of(request)
    mode = MODES.get(request.path_params["mode"])
    if mode is None:
        raise invalid(f"A mode is one of {', '.join(MODES)}.", status=404)
    sent.refuse_unread()
    with engine.transaction():
        faults.set_delivery_mode(engine, mode)
    deliverer_of(request).kick()
    return {"delivery": mode}


async def list_rules(request: Request, sent: Sent) -> list[Json]:
    """Rules that have deliveries still to pick, oldest first; `skip` and `times` count down."""
    return list(engine_of(request).store.scan(rules.RULE))[::-1]


async def add_rule(request: Request, sent: Sent) -> Json:
    """
    Let single deliveries go otherwise: `action`, `type` (a glob), `endpoint` (id or URL), `nth`, `times` (or `all`).

    What an action takes is in `delivery_rules.ACTIONS`.
    """
    engine = engine_of(request)
    action = sent.choice("action", rules.ACTIONS)
    if action is None:
        raise invalid(f"action is missing; it is one of {', '.join(rules.ACTIONS)}.", param="action")
    asked = {name: _READERS[name](sent) for name in rules.ACTIONS[action]}
    if action == "delay" and set(asked.values()) == {None}:
        raise invalid("Say how long: seconds, until (a type of event) or both.", param="seconds")
    type, endpoint, nth = sent.text("type") or "*", sent.text("endpoint"), sent.whole("nth", 1)
    times = None if sent.text("times") == "all" else sent.whole("times", 1)
    sent.refuse_unread()
    with engine.transaction():
        id = None if endpoint is None else find_endpoint(engine, endpoint)["id"]
        return dict(rules.add_rule(engine, action, type=type, endpoint=id, nth=nth, times=times, **asked))


async def remove_rule(request: Request, sent: Sent) -> Json:
    """One rule less; what it has picked stays so."""
    engine, id = engine_of(request), request.path_params["id"]
    with engine.transaction():
        rules.remove_rule(engine, id)
    return {"id": id, "deleted": True}


async def clear_rules(request: Request, sent: Sent) -> Json:
    """No more rules; what they hold back is let go."""
    engine = engine_of(request)
    with engine.transaction():
        rules.clear_rules(engine)
    return {"cleared": True}


async def resend(request: Request, sent: Sent) -> Json:
    """Send one delivery again."""
    id = request.path_params["id"]
    if not deliverer_of(request).resend(id):
        raise invalid(f"There is no such delivery: {id}", status=404)
    return {"resent": id}


async def attempt(request: Request, sent: Sent) -> Json:
    """Try one delivery at once, even while deliveries are paused; the answer is how it went."""
    id = request.path_params["id"]
    made = await deliverer_of(request).attempt(id)
    if made is None:
        raise invalid(f"There is no such delivery, or its endpoint is gone: {id}", status=404)
    return made


def _secret(sent: Sent) -> str | None:
    found = sent.text("secret")
    if found not in (None, "wrong", "old") and not str(found).startswith("whsec_"):
        raise invalid("secret is wrong, old or a signing secret, which begins with whsec_.", param="secret")
    return found


_READERS: dict[str, Callable[[Sent], object]] = {
    "copies": lambda sent: sent.whole("copies", 2, least=2, most=100),
    "seconds": lambda sent: sent.number("seconds", most=DAY),
    "until": lambda sent: sent.text("until"),
    "behind": lambda sent: sent.whole("behind", 1, most=1000),
    "tries": lambda sent: sent.whole("tries", 1, most=1000),
    "secret": _secret,
}


ROUTES = [
    route("GET", "deliveries", list_deliveries),
    route("GET", "deliveries/rules", list_rules),
    route("POST", "deliveries/rules", add_rule),
    route("DELETE", "deliveries/rules", clear_rules),
    route("DELETE", "deliveries/rules/{id}", remove_rule),
    route("POST", "deliveries/{mode}", set_mode),
    route("POST", "deliveries/{id}/resend", resend),
    route("POST", "deliveries/{id}/attempt", attempt),
]
