"""
The engine: objects, clocks and events behind one transaction at a time.

It is synchronous and knows nothing of HTTP. Every API call, every click on a hosted page and every stretch of time is
one transaction: all of it is stored and its events are queued, or none of it happened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from stripe._api_version import _ApiVersion

from stripe_emulator.agenda import Agenda
from stripe_emulator.clock import GLOBAL, Clocks
from stripe_emulator.events import changing, emit
from stripe_emulator.ids import Ids
from stripe_emulator.protocol.errors import ApiError, no_such
from stripe_emulator.search.index import Index
from stripe_emulator.settings import Settings
from stripe_emulator.state import Json, Store
from stripe_emulator.validation.responses import ShapeError

SEEDED_START = 1_798_761_600
"""2027-01-01 00:00 UTC: where the clock of a seeded emulator stands at first."""

_IDS = "_ids"
_SETTINGS = "_settings"


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The API request an event was caused by."""

    id: str
    idempotency_key: str | None


class Engine:
    """
    One emulated account.

    Every object emitted is held against the SDK's types, and one that does not fit raises ShapeError.
    `on_commit` is called with the ids that changed after each transaction that was stored, `on_replace` after the whole
    state became another one. With a `seed`, ids are the same in every run and the global clock stands still.
    """

    api_version = _ApiVersion.CURRENT

    def __init__(self, store: Store, *, settings: Settings | None = None, seed: int | None = None) -> None:
        self.store = store
        self._initial_settings = settings or Settings()
        self._read_settings()
        self.base_url = ""
        self.clocks = Clocks(store)
        self.ids = Ids(seed)
        self._resume_seeded()
        self.agenda = Agenda(self)
        self.agenda.load()
        self.search_index = Index(self)
        self.search_index.begin()
        self.request: RequestInfo | None = None
        self.on_commit: Callable[[list[str]], None] = lambda changed: None
        self.on_replace: Callable[[], None] = lambda: None
        self.shape_failures: list[str] = []
        self.being_changed: set[tuple[str, str | None]] = set()
        self.outlasting: list[Callable[[], None]] = []

    @contextmanager
    def transaction(self, request: RequestInfo | None = None) -> Iterator[None]:
        """
        One transaction: stored when the block ends, undone when it raises.

        An ApiError marked `keep` (a declined card leaves a failed charge behind) is stored and raised on. What was put
        into `outlasting` is done again after any other.
        """
        self.request = request
        self.outlasting.clear()
        try:
            with self.ids.in_use():
                yield
        except ApiError as error:
            if error.keep:
                self._commit()
            else:
                self.store.rollback()
                self._keep_outlasting()
            raise
        except ShapeError as error:
            self.store.rollback()
            self.shape_failures += [problem for problem in error.problems if problem not in self.shape_failures]
            raise
        except BaseException:
            self.store.rollback()
            raise
        else:
            self._commit()
        finally:
            self.request = None

    def now(self, clock: str | None = None) -> int:
        """Unix seconds on a test clock, or the global one."""
        return self.clocks.now(clock)

    def find(self, kind: str, id: str, *, noun: str | None = None, param: str = "id") -> Json:
        """The object, or Stripe's answer that there is none."""
        found = self.store.get(id, kind)
        if found is None:
            raise no_such(noun or kind.rpartition(".")[2], id, param=param)
        return found

    def emit(self, type: str, value: Json, previous: Json | None = None) -> Json:
        """Record an event about an object as it is now."""
        return emit(self, type, value, previous)

    def changing(self, value: Json, type: str | None) -> AbstractContextManager[Json]:
        """Change an object in a block and emit `type` if anything that shows has changed."""
        return changing(self, value, type)

    def catch_up(self) -> None:
        """Do what has fallen due on the global clock by now."""
        moment = self.agenda.next_moment()
        if moment is not None and moment <= self.now():
            with self.transaction():
                self.agenda.walk(self.now())

    def advance(self, seconds: int) -> None:
        """Put the global clock forward, doing everything that falls due on the way."""
        with self.transaction():
            target = self.now() + seconds
            self.agenda.walk(target)
            self.clocks.move(seconds)

    def advance_clock(self, clock: Json, target: int) -> None:
        """Put a test clock forward, doing everything that falls due on the way."""
        self.agenda.walk(target, clock["id"])
        clock["frozen_time"] = target

    def reset(self) -> None:
        """Forget every object, event, endpoint, the clock's offset and what was found wrong."""
        self.shape_failures.clear()
        self.replace([])

    def change_settings(self, changes: Json) -> None:
        """Let settings be otherwise until the next reset."""
        with self.transaction():
            row = self.store.get(_SETTINGS) or self.store.add({"id": _SETTINGS, "object": _SETTINGS, "changed": {}})
            row["changed"].update(changes)
        self._read_settings()
        self.agenda.load()
        if "search_lag" in changes:
            self.search_index.begin()

    def replace(self, rows: list[tuple[str, str]]) -> None:
        """Let the state be another one, as `store.rows()` gave it."""
        self.store.replace(rows)
        self._read_settings()
        self._resume_seeded()
        self.agenda.load()
        self.search_index.begin()
        self.on_replace()

    def _read_settings(self) -> None:
        row = self.store.get(_SETTINGS)
        self.settings = dataclasses.replace(self._initial_settings, **(row["changed"] if row else {}))

    def _resume_seeded(self) -> None:
        if self.ids.seed is None:
            return
        row = self.store.get(_IDS) or self.store.add({"id": _IDS, "object": _IDS, "drawn": {}})
        self.ids.resume(row["drawn"])
        self.clocks.stand_still(SEEDED_START)
        self.store.commit()

    def _keep_outlasting(self) -> None:
        for work in self.outlasting:
            work()
        self._commit()

    def _commit(self) -> None:
        if self.ids.seed is not None:
            self.find(_IDS, _IDS)["drawn"] = dict(self.ids.drawn)
        self.agenda.refresh()
        changed = self.store.commit()
        self.search_index.note(changed)
        if changed:
            self.on_commit(changed)


__all__ = ["GLOBAL", "SEEDED_START", "Engine", "RequestInfo"]
