"""
Credits: what an owner has paid for in advance, and spends by the unit.

No call to Stripe. A balance is changed by the statement that checks it, and each spending is written once by the key
that the app gives it: of a hundred at the same moment, no more get through than there are units.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy.orm import Session

from paidup.core.catalog import Catalog
from paidup.core.credits import CreditEntry
from paidup.customers import check_owner
from paidup.database import credits as rows
from paidup.database.engine import Database
from paidup.errors import InvalidQuantity, InvalidRequest, UnknownCredit

_MOST = 1_000_000_000
_LONGEST_KEY = 200
_LONGEST_NOTE = 1_000
_MOST_ENTRIES = 1_000

_Found = TypeVar("_Found")


class Credits:
    """Reads, spends and gives. `session` is the app's own, on the same database, which the app commits."""

    def __init__(self, *, database: Database, catalog: Catalog, livemode: bool, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._catalog = catalog
        self._livemode = livemode
        self._clock = clock

    def balances(self, owner: str, session: Session | None) -> dict[str, int]:
        """How much there is of each credit of the plans file, and of others that are left from before."""
        check_owner(owner)
        if session is not None:
            found = rows.balances(session, owner, livemode=self._livemode)
        else:
            with self._database.read() as own:
                found = rows.balances(own, owner, livemode=self._livemode)
        return {**dict.fromkeys(self._catalog.credits, 0), **found}

    def spend(
        self, owner: str, credit: str, units: int, *, key: str, note: str | None, session: Session | None
    ) -> tuple[bool, int]:
        """
        Spend units, once per key: whether they are spent, and how many there are now.

        Raises UnknownCredit, InvalidQuantity, InvalidRequest.
        """
        self._check(owner, credit, units, key, note)

        def take(session: Session) -> tuple[bool, int]:
            full_key = f"spent:{owner}:{key}"
            is_done = rows.take(
                session,
                full_key,
                owner=owner,
                livemode=self._livemode,
                credit=credit,
                units=units,
                note=note,
                created=self._clock(),
            )
            if is_done:
                self._check_same(session, full_key, credit, -units)
            return is_done, rows.balances(session, owner, livemode=self._livemode).get(credit, 0)

        return self._write(take, session)

    def give(self, owner: str, credit: str, units: int, *, key: str, note: str | None, session: Session | None) -> int:
        """Give units by hand, once per key; how many there are then. Raises as `spend`."""
        self._check(owner, credit, units, key, note)

        def add(session: Session) -> int:
            full_key = f"given:{owner}:{key}"
            rows.add(
                session,
                full_key,
                owner=owner,
                livemode=self._livemode,
                credit=credit,
                units=units,
                kind="given",
                note=note,
                created=self._clock(),
            )
            self._check_same(session, full_key, credit, units)
            return rows.balances(session, owner, livemode=self._livemode)[credit]

        return self._write(add, session)

    def entries(self, owner: str, *, credit: str | None, limit: int, before: int | None) -> list[CreditEntry]:
        """An owner's entries, newest first. Raises InvalidRequest."""
        check_owner(owner)
        if type(limit) is not int or not 1 <= limit <= _MOST_ENTRIES:
            raise InvalidRequest(f"{limit!r} entries cannot be listed", remedy=f"ask for 1 to {_MOST_ENTRIES}")
        with self._database.read() as session:
            return rows.entries(session, owner, livemode=self._livemode, credit=credit, limit=limit, before=before)

    def _write(self, unit: Callable[[Session], _Found], session: Session | None) -> _Found:
        return unit(session) if session is not None else self._database.run(unit)

    def _check(self, owner: str, credit: str, units: int, key: str, note: str | None) -> None:
        check_owner(owner)
        if credit not in self._catalog.credits:
            known = ", ".join(self._catalog.credits) or "none"
            raise UnknownCredit(f"there is no credit {credit!r}", remedy=f"the plans file has: {known}")
        if type(units) is not int or not 1 <= units <= _MOST:
            raise InvalidQuantity(f"{units!r} units of {credit!r}", remedy=f"a whole number from 1 to {_MOST}")
        if not _is_text(key) or not key.strip() or len(key) > _LONGEST_KEY or not key.isprintable():
            raise InvalidRequest(
                "a key tells a repetition from something new",
                remedy=f"pass a printable string of 1 to {_LONGEST_KEY} characters, such as 'job:81'",
            )
        if note is not None and not (_is_text(note) and len(note) <= _LONGEST_NOTE):
            raise InvalidRequest("the note is too long", remedy=f"write at most {_LONGEST_NOTE} characters")

    def _check_same(self, session: Session, key: str, credit: str, units: int) -> None:
        """The same key for something else is a mistake of the caller's, and no repetition."""
        entry = rows.entry_of(session, key)
        if entry is not None and (entry.credit, entry.units) != (credit, units):
            raise InvalidRequest(
                f"this key was used for {abs(entry.units)} units of {entry.credit!r}", remedy="give each its own key"
            )


def _is_text(value: object) -> bool:
    return isinstance(value, str)
