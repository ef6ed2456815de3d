"""
Rules that pick single deliveries and let them go otherwise than usual.

A rule is counted down when a delivery is queued, in the order of events, and what it asks is kept with the delivery as
its `script`. So it means the same in each run, whatever the retries and the timing, and outlives a restart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from stripe_emulator.clock import real_time
from stripe_emulator.ids import new_id
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

RULE = "_rule"
DELIVERY = "_delivery"

ACTIONS: dict[str, dict[str, Any]] = {
    "duplicate": {"copies": 2},
    "delay": {"seconds": None, "until": None},
    "reorder": {"behind": 1, "seconds": 2.0},
    "drop": {},
    "lose": {"tries": 1},
    "sign": {"secret": "wrong", "tries": 1},
    "ignore": {"tries": 1},
}
"""What a rule can ask, with its parameters and what they are when not given; the README says what they mean."""

_FOREVER = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What the rules ask of one try: not to be made at all (`dropped`), to get lost on the way, to be signed with another
    secret (`wrong`, `old` or the secret itself), to have its answer ignored, to be sent so many times.
    """

    dropped: bool = False
    lost: bool = False
    secret: str | None = None
    ignored: bool = False
    copies: int = 1


def add_rule(
    engine: Engine,
    action: str,
    *,
    type: str = "*",
    endpoint: str | None = None,
    nth: int = 1,
    times: int | None = 1,
    **asked: Any,
) -> Json:
    """
    From now on, let deliveries of a type (a glob) to an endpoint (an id; None is any) go otherwise.

    The first is the `nth` that matches, and `times` of them are picked (None: all). `asked` are the action's own
    parameters, as in ACTIONS.
    """
    return engine.store.add(
        {
            "id": new_id(RULE),
            "object": RULE,
            "action": action,
            "type": type,
            "endpoint": endpoint,
            "skip": nth - 1,
            "times": _FOREVER if times is None else times,
            **ACTIONS[action],
            **{name: value for name, value in asked.items() if value is not None},
        }
    )


def apply_rules(engine: Engine, delivery: Json) -> None:
    """Give a delivery that is being queued the script that the rules make for it, counting them down."""
    for found in list(engine.store.scan(RULE))[::-1]:
        if found["endpoint"] not in (None, delivery["endpoint"]) or not fnmatchcase(delivery["type"], found["type"]):
            continue
        rule = engine.find(RULE, found["id"])
        if rule["skip"] > 0:
            rule["skip"] -= 1
            continue
        rule["times"] -= 1
        if rule["times"] <= 0:
            engine.store.remove(rule["id"])
        asked = {name: rule[name] for name in ACTIONS[rule["action"]]}
        delivery["script"].append({"rule": rule["id"], "action": rule["action"], **asked})
        if rule["action"] in ("delay", "reorder"):
            _hold(delivery, asked)


def plan(delivery: Json) -> Plan:
    """What the script of a delivery asks of its next try."""
    tries = sum(not attempt.get("copy") for attempt in delivery["attempts"])
    script = delivery.get("script", [])
    asked = {one["action"]: one for one in script if one.get("tries", _FOREVER) > tries}
    return Plan(
        dropped="drop" in asked,
        lost="lose" in asked,
        secret=asked["sign"]["secret"] if "sign" in asked else None,
        ignored="ignore" in asked,
        copies=asked["duplicate"]["copies"] if "duplicate" in asked else 1,
    )


def is_held(delivery: Json) -> bool:
    """Does it wait for other deliveries?"""
    return bool(delivery.get("hold")) and delivery["status"] == "pending" and not delivery["attempts"]


def release(held: list[Json], delivered: Json) -> None:
    """Let go of those that waited for this delivery."""
    for delivery in held:
        hold = delivery["hold"]
        if delivery["endpoint"] != delivered["endpoint"] or delivery["id"] == delivered["id"]:
            continue
        if hold["until"] is not None and fnmatchcase(delivered["type"], hold["until"]):
            delivery.update(hold=None, due=real_time())
        elif hold["behind"] and delivered.get("queued", 0) > delivery["queued"]:
            hold["behind"] -= 1
            if hold["behind"] == 0:
                delivery.update(hold=None, due=real_time())


def remove_rule(engine: Engine, id: str) -> None:
    """One rule less; what it has picked already stays so."""
    engine.find(RULE, id, noun="rule")
    engine.store.remove(id)


def clear_rules(engine: Engine) -> None:
    """No more rules, and what they had picked goes its usual way."""
    for rule in list(engine.store.scan(RULE)):
        engine.store.remove(rule["id"])
    for found in list(engine.store.scan(DELIVERY)):
        if found["status"] == "pending" and found.get("script"):
            delivery = engine.find(DELIVERY, found["id"])
            delivery["script"] = []
            if is_held(delivery) or not delivery["attempts"]:
                delivery.update(hold=None, due=real_time())


def _hold(delivery: Json, asked: Json) -> None:
    until, behind, seconds = asked.get("until"), asked.get("behind"), asked["seconds"]
    if until or behind:
        delivery["hold"] = {"until": until, "behind": behind}
    delivery["due"] = None if seconds is None else time.time() + seconds
