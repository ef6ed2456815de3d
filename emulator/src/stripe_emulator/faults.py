"""Unkindness on request: failing calls, declined charges, disturbed deliveries. Kept in the state file."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from stripe_emulator.cards import Decline, decline_of
from stripe_emulator.delivery_rules import clear_rules
from stripe_emulator.ids import new_id
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

FAULT = "_fault"
_KNOBS = "_knobs"

DeliveryMode = Literal["normal", "paused", "duplicate", "shuffle", "drop"]


def add_fault(
    engine: Engine,
    path: str,
    *,
    method: str | None = None,
    status: int | None = 500,
    nth: int = 1,
    times: int = 1,
    after_work: bool = False,
    kept: bool = False,
    timeout: float | None = None,
    slow: float | None = None,
    code: str | None = None,
    reason: str | None = None,
    should_retry: bool | None = None,
) -> Json:
    """
    Let calls fail: the `nth` from now that matches `path` (a glob, as in `/v1/customers*`), `times` of them.

    `status` is the answer; `timeout` holds the call for that many seconds and then cuts the connection off instead.
    `after_work`: the work is done and stored, only its answer is lost. `kept`: the work had begun and failed, so that
    the answer is kept under the call's idempotency key. `slow`: the answer takes that many seconds; with no `status` it
    is the usual one. `code` and `reason` are those of a 429. `should_retry` is what
    `Stripe-Should-Retry` says, None for what Stripe would send.
    """
    return engine.store.add(
        {
            "id": new_id(FAULT),
            "object": FAULT,
            "path": path,
            "method": method.upper() if method else None,
            "status": status,
            "skip": nth - 1,
            "times": times,
            "after_work": after_work,
            "kept": kept,
            "timeout": timeout,
            "slow": slow,
            "code": code,
            "reason": reason,
            "should_retry": should_retry,
        }
    )


def take_fault(engine: Engine, method: str, path: str) -> Json | None:
    """The fault this call meets, counted down."""
    for found in list(engine.store.scan(FAULT))[::-1]:
        if found["method"] not in (None, method) or not fnmatchcase(path, found["path"]):
            continue
        fault = engine.store.get(found["id"], FAULT)
        assert fault is not None
        if fault["skip"] > 0:
            fault["skip"] -= 1
            continue
        fault["times"] -= 1
        if fault["times"] <= 0:
            engine.store.remove(fault["id"])
        return dict(fault)
    return None


def clear_faults(engine: Engine, *, deliveries: bool = True) -> None:
    """No more failing calls, declines or (unless they are left out) disturbed deliveries."""
    for fault in list(engine.store.scan(FAULT)):
        engine.store.remove(fault["id"])
    if engine.store.get(_KNOBS) is not None:
        knobs(engine).update(declining=[], **({"delivery": "normal"} if deliveries else {}))
    if deliveries:
        clear_rules(engine)


def decline_next(
    engine: Engine, times: int = 1, *, nth: int = 1, code: str = "generic_decline", on_session: bool = False
) -> list[Json]:
    """
    Let the next charges of saved cards be declined, with a decline code; returns all that are still to come.

    `nth`: those before it go through.
    `on_session`: charges whose payer is there count too, as on the Checkout page or in an update of a subscription.
    """
    declining: list[Json] = knobs(engine).setdefault("declining", [])
    declining += [{"code": code, "on_session": on_session, "skip": 0 if n else nth - 1} for n in range(times)]
    return declining


def take_decline(engine: Engine, *, off_session: bool) -> Decline | None:
    """How this charge is to be declined, if it is; the first that fits is used up, even if all else is undone."""
    declining = knobs(engine).setdefault("declining", [])
    fitting = next((one for one in declining if off_session or one["on_session"]), None)
    if fitting is None:
        return None
    met = dict(fitting)
    _use_up(engine, met)
    engine.outlasting.append(lambda: _use_up(engine, met))
    return None if met["skip"] else decline_of(met["code"])


def _use_up(engine: Engine, met: Json) -> None:
    declining = knobs(engine)["declining"]
    place = declining.index(met)
    declining[place : place + 1] = [{**met, "skip": met["skip"] - 1}] if met["skip"] else []


def delivery_mode(engine: Engine) -> DeliveryMode:
    """How deliveries are being disturbed."""
    mode: DeliveryMode = knobs(engine)["delivery"]
    return mode


def set_delivery_mode(engine: Engine, mode: DeliveryMode) -> None:
    """Disturb deliveries, or stop disturbing them."""
    knobs(engine)["delivery"] = mode


def knobs(engine: Engine) -> Json:
    """The row that holds which charges decline and how deliveries are disturbed."""
    return engine.store.get(_KNOBS) or engine.store.add(
        {"id": _KNOBS, "object": _KNOBS, "declining": [], "delivery": "normal"}
    )
