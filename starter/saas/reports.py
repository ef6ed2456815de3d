"""The feature that only some plans have: how the work has been going."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from saas import projects
from saas.database import User

FEATURE = "reports"
"""The feature's name in plans.toml."""

CREDIT = "exports"
"""The credit's name in plans.toml: what a file of the report costs one of."""

WEEKS = 8


@dataclass(frozen=True, slots=True)
class Week:
    """One week's work; `starts` is its Monday, as an ISO date."""

    starts: str
    started: int


@dataclass(frozen=True, slots=True)
class Report:
    """Projects started per week, oldest week first."""

    projects: int
    weeks: tuple[Week, ...]

    @property
    def busiest(self) -> int:
        """The most projects started in any of the weeks."""
        return max(week.started for week in self.weeks)

    def as_dict(self) -> dict[str, object]:
        """For the JSON API."""
        return {"projects": self.projects, "weeks": [asdict(week) for week in self.weeks]}

    def as_csv(self) -> str:
        """For spreadsheets."""
        file = io.StringIO()
        rows = csv.writer(file)
        rows.writerow(("week", "started"))
        rows.writerows((week.starts, week.started) for week in self.weeks)
        return file.getvalue()


def report_for(db: Session, user: User, *, now: datetime) -> Report:
    """The report of the last weeks up to `now`, the current one included."""
    everything = projects.all_of(db, user)
    started = Counter(_monday(project.created) for project in everything)
    mondays = [_monday(now) - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    weeks = tuple(Week(starts=monday.date().isoformat(), started=started[monday]) for monday in mondays)
    return Report(projects=len(everything), weeks=weeks)


def _monday(moment: datetime) -> datetime:
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())
