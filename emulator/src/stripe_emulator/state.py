"""
Everything the emulator knows, in memory, written through to one SQLite file.

A transaction is all or nothing: objects read through `get` may be changed in place, and `commit` writes those that
differ in one SQLite transaction; `rollback` puts them back. What is committed survives the death of the process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

OWNED = frozenset({"subscription", "invoice", "invoiceitem"})
"""Kinds kept by customer too: each belongs to one for good."""

VERSION = 2
"""Of the objects' private keys; a file of another version is refused rather than misread."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS objects (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)"


class Store:
    """
    Objects by id, grouped by their `object` field, in the order they were made.

    Keys that begin with an underscore are the emulator's own and never leave it. Objects from `scan` must not be
    changed; `get` them first.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._objects: dict[str, Json] = {}
        self._kinds: dict[str, dict[str, None]] = {}
        self._owned: dict[tuple[str, str], dict[str, None]] = {}
        self._texts: dict[str, str] = {}
        self._read: dict[str, None] = {}
        self._fresh: set[str] = set()
        self._removed: set[str] = set()
        self._file = None if path is None else _open(Path(path))
        if self._file is not None:
            for id, body in self._file.execute("SELECT id, body FROM objects ORDER BY seq"):
                self._insert(id, json.loads(body))
                self._texts[id] = body

    def add(self, value: Json) -> Json:
        """Keep a new object."""
        if value["id"] in self._objects:
            raise ValueError(f"{value['id']} exists already")
        self._insert(value["id"], value)
        self._touch(value["id"])
        return value

    def get(self, id: str, kind: str | None = None) -> Json | None:
        """The object, free to be changed until the transaction ends; None when there is none of that kind."""
        found = self._objects.get(id)
        if found is None or id in self._removed or (kind is not None and found["object"] != kind):
            return None
        self._touch(id)
        return found

    def remove(self, id: str) -> None:
        """Forget an object."""
        self._removed.add(id)

    def scan(self, kind: str) -> Iterator[Json]:
        """Every object of a kind, newest first, to look at."""
        for id in reversed(self._kinds.get(kind, {})):
            if id not in self._removed:
                yield self._objects[id]

    def of_customer(self, kind: str, customer: str) -> Iterator[Json]:
        """A customer's objects of a kind that never changes hands, newest first, to look at."""
        if kind not in OWNED:
            raise ValueError(f"{kind} is not looked up by customer")
        for id in reversed(self._owned.get((kind, customer), {})):
            if id not in self._removed:
                yield self._objects[id]

    def peek(self, id: str) -> Json | None:
        """The object, to look at."""
        return None if id in self._removed else self._objects.get(id)

    def mentioning(self, text: str) -> Iterator[Json]:
        """Every stored object in whose JSON a text occurs, whatever its case; newest first, to look at."""
        wanted = json.dumps(text)[1:-1].casefold() if not text.startswith('"') else text.casefold()
        for id, body in reversed(self._texts.items()):
            if wanted in body.casefold():
                yield self._objects[id]

    def kinds(self) -> list[str]:
        """The kinds of which there are objects, by name."""
        return sorted(kind for kind, ids in self._kinds.items() if ids)

    def count(self, kind: str) -> int:
        """How many objects of a kind there are."""
        return len(self._kinds.get(kind, {}))

    def touched(self) -> list[Json]:
        """The objects handed out since the last call; one that was removed is not among them."""
        fresh, self._fresh = self._fresh, set()
        return [self._objects[id] for id in fresh if id in self._objects and id not in self._removed]

    def commit(self) -> list[str]:
        """Make the transaction's changes last; returns the ids that changed or went."""
        changed: list[tuple[str, str]] = []
        for id in self._read:
            if id in self._removed:
                continue
            text = json.dumps(self._objects[id], separators=(",", ":"))
            if self._texts.get(id) != text:
                changed.append((id, text))
        removed = [id for id in self._removed if id in self._objects]
        self._write(changed, removed)
        self._texts.update(changed)
        for id in removed:
            self._forget(id)
        self._read.clear()
        self._removed.clear()
        return [id for id, _ in changed] + removed

    def rollback(self) -> None:
        """Undo everything since the last commit."""
        for id in self._read:
            text = self._texts.get(id)
            if text is None:
                self._forget(id)
            else:
                self._objects[id].clear()
                self._objects[id].update(json.loads(text))
        self._read.clear()
        self._removed.clear()

    def rows(self) -> list[tuple[str, str]]:
        """Everything that is committed, ids and JSON in the order they were made; `replace` takes it back."""
        return [(id, self._texts[id]) for id in self._objects if id in self._texts]

    def replace(self, rows: list[tuple[str, str]]) -> None:
        """Forget everything and know this instead, at once and for good."""
        same = {id: self._objects[id] for id, text in rows if self._texts.get(id) == text}
        self._empty()
        for id, text in rows:
            self._insert(id, same[id] if id in same else json.loads(text))
            self._texts[id] = text
        if self._file is not None:
            with self._file:
                self._file.execute("DELETE FROM objects")
                self._file.executemany("INSERT INTO objects (id, body) VALUES (?, ?)", rows)

    def clear(self) -> None:
        """Forget everything, at once and for good."""
        self.replace([])

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _empty(self) -> None:
        self._objects.clear()
        self._kinds.clear()
        self._owned.clear()
        self._texts.clear()
        self._read.clear()
        self._fresh.clear()
        self._removed.clear()

    def _touch(self, id: str) -> None:
        self._read[id] = None
        self._fresh.add(id)

    def _insert(self, id: str, value: Json) -> None:
        self._objects[id] = value
        kind = value["object"]
        self._kinds.setdefault(kind, {})[id] = None
        if kind in OWNED:
            self._owned.setdefault((kind, value["customer"]), {})[id] = None

    def _forget(self, id: str) -> None:
        value = self._objects.pop(id, None)
        if value is not None:
            kind = value["object"]
            self._kinds[kind].pop(id, None)
            if kind in OWNED:
                self._owned[kind, value["customer"]].pop(id, None)
        self._texts.pop(id, None)

    def _write(self, changed: list[tuple[str, str]], removed: list[str]) -> None:
        if self._file is None or not (changed or removed):
            return
        with self._file:
            self._file.executemany(
                "INSERT INTO objects (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                changed,
            )
            self._file.executemany("DELETE FROM objects WHERE id = ?", [(id,) for id in removed])


class StateError(Exception):
    """A state file that can't be used; the message says why and what to do."""


def _open(path: Path) -> sqlite3.Connection:
    """One process at a time: two emulators over one file would each undo what the other wrote."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=1)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_SCHEMA)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (count,) = connection.execute("SELECT count(*) FROM objects").fetchone()
        if count and version != VERSION:
            raise StateError(f"{path} was written by another version of stripe_emulator; remove it or choose another")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.commit()
    except sqlite3.OperationalError as error:
        connection.close()
        raise StateError(f"{path} can't be opened ({error}); is another stripe_emulator using it?") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StateError(f"{path} is not a state file of stripe_emulator ({error})") from error
    except StateError:
        connection.close()
        raise
    return connection
