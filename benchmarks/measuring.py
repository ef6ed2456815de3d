"""
What every benchmark shares: rounds of two things measured in turn, on one core, shown beside each other.

A figure alone says more of the machine than of the code, so each is printed with a floor measured in the same run:
what the task would cost if paidup or the emulator did nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 120
"""Columns, where the terminal has fewer or there is none."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure, or its ratio to the floor's, has to reach at least, or at most."""

    bound: float
    at_least: bool
    of_the_floor: bool

    def is_met(self, figure: float, ratio: float) -> bool:
        """Is it reached?"""
        value = ratio if self.of_the_floor else figure
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        unit = "× the floor" if self.of_the_floor else ""
        return f"{'≥' if self.at_least else '≤'} {_short(self.bound)}{unit}"


def at_least(bound: float, *, of_the_floor: bool = False) -> Target:
    """More is better: so many, or so many times the floor's."""
    return Target(bound, True, of_the_floor)


def at_most(bound: float, *, of_the_floor: bool = False) -> Target:
    """Less is better: so many, or so many times the floor's."""
    return Target(bound, False, of_the_floor)


@dataclass(frozen=True, slots=True)
class Row:
    """A claim: a figure per round with its floor's, in a unit such as `calls/s` or `s`, and what it has to reach."""

    name: str
    unit: str
    measured: list[float]
    floor: list[float]
    target: Target | None = None

    @property
    def ratio(self) -> float:
        """How many times the floor's figure it is; the median of the rounds."""
        return statistics.median(own / low for own, low in zip(self.measured, self.floor, strict=True))

    def as_json(self) -> dict[str, object]:
        """For machines."""
        figure = statistics.median(self.measured)
        return {
            "name": self.name,
            "unit": self.unit,
            "measured": self.measured,
            "floor": self.floor,
            "ratio": self.ratio,
            "target": str(self.target) if self.target else None,
            "is_met": self.target.is_met(figure, self.ratio) if self.target else None,
        }


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of every benchmark."""

    rounds: int
    json: bool


def options(description: str, *, rounds: int = 5) -> Options:
    """Read the command line: `--rounds` and `--json`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often each is measured ({rounds})")
    parser.add_argument("--json", action="store_true", help="print one JSON object for machines")
    parsed = parser.parse_args()
    if parsed.rounds < 1:
        parser.error("--rounds is 1 or more")
    return Options(parsed.rounds, parsed.json)


def on_one_core() -> None:
    """Keep this process, and those it starts, on one core, where the system can do so."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def in_turn(own: Callable[[], float], floor: Callable[[], float], *, rounds: int) -> tuple[list[float], list[float]]:
    """Measure both, one after the other, so that a busy moment of the machine meets both."""
    own(), floor()  # what is loaded on first use
    measured, low = [], []
    for _ in range(rounds):
        measured.append(own())
        low.append(floor())
    return measured, low


def report(title: str, rows: Sequence[Row], chosen: Options) -> None:
    """Print a table, or one JSON object."""
    found = {"benchmark": title, "rows": [row.as_json() for row in rows]}
    if chosen.json:
        print(json.dumps(found))
    else:
        show([found])


def show(reports: Sequence[dict[str, Any]]) -> None:
    """Print reports as one table: the median of the rounds, with the range they were in."""
    table = Table()
    for heading in ("claim", "measured", "rounds", "floor", "ratio", "target", ""):
        table.add_column(heading, justify="right" if heading in ("measured", "rounds", "floor", "ratio") else "left")
    for each in reports:
        table.add_section()
        table.add_row(Text(each["benchmark"], style="bold"))
        for row in each["rows"]:
            unit, measured = row["unit"], row["measured"]
            table.add_row(
                f"  {row['name']}",
                f"{_short(statistics.median(measured))} {unit}",
                f"{_short(min(measured))} to {_short(max(measured))}",
                f"{_short(statistics.median(row['floor']))} {unit}",
                f"{row['ratio']:.2f}",
                row["target"] or "",
                {True: "met", False: "MISSED", None: ""}[row["is_met"]],
            )
    Console(width=max(Console().width, WIDTH)).print(table)


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
