"""
Idempotency keys.

The first answer to a key is kept with the transaction that made it and given again to the same request, errors too if
the work had begun. Another request with the key is refused, and so is one that arrives while the first still runs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from stripe_emulator.protocol.errors import idempotency_error
from stripe_emulator.settings import DAY
from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

KIND = "_idempotency"
KEPT_FOR = DAY
MAX_LENGTH = 255


def fingerprint(encoded: str) -> str:
    """What two equal requests have in common."""
    return hashlib.sha256(encoded.encode()).hexdigest()


def replay(engine: Engine, key: str, method: str, path: str, mark: str) -> Json | None:
    """The kept answer to this request, None if the key is new (or forgotten after a day); raises if it was another."""
    if len(key) > MAX_LENGTH:
        raise idempotency_error(f"Idempotency keys can be up to {MAX_LENGTH} characters.")
    row = engine.store.get(_id(key), KIND)
    if row is None:
        return None
    if row["created"] + KEPT_FOR <= engine.now():
        engine.store.remove(row["id"])
        engine.store.commit()
        return None
    if (row["method"], row["path"]) != (method, path):
        raise idempotency_error(
            f"Keys for idempotent requests can only be used for the same endpoint they were first used for "
            f"('{path}' vs '{row['path']}'). Try using a key other than '{key}' if you meant to execute a different "
            "request."
        )
    if row["fingerprint"] != mark:
        raise idempotency_error(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request."
        )
    return row


def keep(
    engine: Engine, key: str, method: str, path: str, mark: str, *, status: int, body: str, request_id: str
) -> None:
    """Keep an answer, in the transaction that is open."""
    engine.store.add(
        {
            "id": _id(key),
            "object": KIND,
            "created": engine.now(),
            "method": method,
            "path": path,
            "fingerprint": mark,
            "status": status,
            "body": body,
            "request_id": request_id,
        }
    )


def in_use(key: str) -> Exception:
    """The 409 while the first request with a key still runs."""
    return idempotency_error(
        f"There is currently another in-progress request using this Idempotent Key ('{key}') (that probably means you "
        "submitted twice, and the other request is still going through). Please try again later.",
        code="idempotency_key_in_use",
        status=409,
    )


def _id(key: str) -> str:
    return f"{KIND}:{key}"
