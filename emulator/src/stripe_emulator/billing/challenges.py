"""3D Secure challenges: the question an intent waits on, and the page where it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.ids import token
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

CHALLENGE = "_challenge"


def ask(engine: Engine, intent: Json) -> None:
    """Let an intent wait for its payer's authentication; an earlier question is forgotten."""
    intent["status"] = "requires_action"
    intent["next_action"] = _next_action(engine, _new_challenge(engine, intent))
    engine.emit(f"{intent['object']}.requires_action", intent)


def challenge_of(engine: Engine, intent: Json) -> Json | None:
    """The open 3D Secure challenge of an intent."""
    token_ = intent.get("_challenge")
    return engine.store.get(token_, CHALLENGE) if token_ else None


def _new_challenge(engine: Engine, intent: Json) -> Json:
    previous = challenge_of(engine, intent)
    if previous is not None:
        engine.store.remove(previous["id"])
    challenge = engine.store.add({"id": token(32), "object": CHALLENGE, "intent": intent["id"], "state": "open"})
    challenge["back"] = intent.get("_return_url")
    intent["_challenge"] = challenge["id"]
    return challenge


def _next_action(engine: Engine, challenge: Json) -> Json:
    return {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": challenge.get("back"),
            "url": f"{engine.base_url}/c/3ds/{challenge['id']}",
        },
    }
