"""
Snapshots: everything as it is at a moment, by a name, to go back to as often as wanted.

What goes back with it: objects, events, endpoints, deliveries owed, faults, what is due when, and the clocks. The
global clock shows the snapshot's moment again and goes on from there, however much real time has passed; what is
measured in real time (the next try of a delivery, an idle portal session) has as long to go as it had then.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stripe_emulator.delivery_rules import DELIVERY
from stripe_emulator.protocol.errors import invalid
from stripe_emulator.state import VERSION, Json, Store

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

_FORMAT = "stripe_emulator_snapshot"
_CLOCK = "_clock"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at a moment: `now` by the global clock, `taken` by real time, both Unix seconds."""

    name: str
    now: int
    taken: float
    rows: tuple[tuple[str, str], ...]

    def described(self) -> Json:
        """What there is to know about it without its content."""
        return {"name": self.name, "now": self.now, "taken": int(self.taken), "objects": len(self.rows)}

    def document(self) -> Json:
        """All of it as JSON, for a file."""
        return {
            _FORMAT: VERSION,
            **self.described(),
            "taken": self.taken,
            "objects": [json.loads(text) for _, text in self.rows],
        }


class Snapshots:
    """The snapshots of an engine. They are kept in memory; `Snapshot.document` is for a file."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[str, Snapshot] = {}

    def take(self, name: str | None = None) -> Snapshot:
        """Keep the state as it is, by a name of its own if none is given; one of the same name is replaced."""
        self._engine.catch_up()
        with self._engine.transaction():  # so that how many ids were drawn is in it
            pass
        return self._keep(name, self._engine.now(), time.time(), self._engine.store.rows())

    def all(self) -> list[Snapshot]:
        """Every snapshot, oldest first."""
        return list(self._kept.values())

    def get(self, name: str) -> Snapshot:
        """One by name, or the 404 that says there is none."""
        if name not in self._kept:
            raise invalid(f"There is no snapshot {name!r}.", status=404)
        return self._kept[name]

    def restore(self, name: str) -> Snapshot:
        """Go back to a snapshot; it stays."""
        snapshot = self.get(name)
        passed = time.time() - snapshot.taken
        rows = [(id, _later(id, text, passed)) for id, text in snapshot.rows if id != _CLOCK]
        clock = next((json.loads(text) for id, text in snapshot.rows if id == _CLOCK), None)
        row = self._engine.clocks.row_at(snapshot.now, clock)
        self._engine.replace([*rows, (row["id"], json.dumps(row, separators=(",", ":")))])
        return snapshot

    def remove(self, name: str) -> None:
        """Forget one."""
        self.get(name)
        del self._kept[name]

    def load(self, document: Any, name: str | None = None) -> Snapshot:
        """Keep a snapshot that `document` made, by its own name or another."""
        if not isinstance(document, dict) or document.get(_FORMAT) != VERSION:
            raise invalid("This is no snapshot of this version of stripe_emulator.", param="snapshot")
        now, taken, objects = document.get("now"), document.get("taken"), document.get("objects")
        if not isinstance(now, int) or not isinstance(taken, (int, float)) or not isinstance(objects, list):
            raise invalid("The snapshot lacks now, taken or objects.", param="snapshot")
        own = document.get("name")
        return self._keep(name or (own if isinstance(own, str) else None), now, float(taken), _rows(objects))

    def _keep(self, name: str | None, now: int, taken: float, rows: list[tuple[str, str]]) -> Snapshot:
        chosen = name or self._free_name()
        self._kept.pop(chosen, None)
        self._kept[chosen] = Snapshot(chosen, now, taken, tuple(rows))
        return self._kept[chosen]

    def _free_name(self) -> str:
        number = len(self._kept) + 1
        while f"snapshot-{number}" in self._kept:
            number += 1
        return f"snapshot-{number}"


def _later(id: str, text: str, seconds: float) -> str:
    """What a stored object says about real time, moved by the time that has passed."""
    if id.startswith(DELIVERY) and '"status":"pending"' in text:
        key = "due"
    elif id.startswith("bps_"):
        key = "_seen"
    else:
        return text
    value = json.loads(text)
    value[key] = None if value[key] is None else value[key] + seconds
    return json.dumps(value, separators=(",", ":"))


def _rows(objects: list[Any]) -> list[tuple[str, str]]:
    store = Store()
    try:
        for value in objects:
            if not isinstance(value["id"], str) or not isinstance(value["object"], str):
                raise TypeError("an id or a kind that is no string")
            store.add(value)
        store.commit()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise invalid(f"The snapshot holds something that is no object: {error}", param="snapshot") from error
    return store.rows()
