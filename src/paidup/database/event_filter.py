"""Which of the received events are meant: what `paidup events` takes, as conditions of a query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement

from paidup.core import targets
from paidup.database.tables import StoredEvent


@dataclass(frozen=True, slots=True)
class EventFilter:
    """
    All of what is given holds.

    `state` is pending, done, ignored or failed; `type` may end with an asterisk; `customer` is `cus_…`; `since` and
    `before` are about when they were received.
    """

    state: str | None = None
    type: str | None = None
    customer: str | None = None
    reason: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For a query of events."""
        found: list[ColumnElement[bool]] = []
        if self.state is not None:
            found.append(StoredEvent.state == self.state)
        if self.type is not None and self.type.endswith("*"):
            found.append(StoredEvent.type.startswith(self.type.removesuffix("*"), autoescape=True))
        elif self.type is not None:
            found.append(StoredEvent.type == self.type)
        if self.customer is not None:
            found.append(StoredEvent.target == targets.customer(self.customer))
        if self.reason is not None:
            found.append(StoredEvent.reason == self.reason)
        if self.since is not None:
            found.append(StoredEvent.received_at >= self.since)
        if self.before is not None:
            found.append(StoredEvent.received_at < self.before)
        return found
