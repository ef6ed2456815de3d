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

from rich.console import Console
from rich.table import Table

WIDTH = 100
"""Columns, where the terminal has fewer or there is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure per round, and its floor's. `unit` is `calls/s` (more is better) or `s` (less is)."""

    name: str
    unit: str
    measured: list[float]
    floor: list[float]

    @property
    def ratio(self) -> float:
        """How many times the floor's cost the task takes; the median of the rounds."""
        pairs = zip(self.measured, self.floor, strict=True)
        return statistics.median(low / own if self.unit == "calls/s" else own / low for own, low in pairs)


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
    if chosen.json:
        found = [
            {"name": row.name, "unit": row.unit, "measured": row.measured, "floor": row.floor, "ratio": row.ratio}
            for row in rows
        ]
        print(json.dumps({"benchmark": title, "rows": found}))
        return
    table = Table(title=title, title_justify="left")
    for heading in ("", "unit", "worst", "median", "best", "floor's median", "times the floor"):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right", no_wrap=True)
    for row in rows:
        by_worth = sorted(row.measured, reverse=row.unit != "calls/s")
        figures = (by_worth[0], statistics.median(row.measured), by_worth[-1], statistics.median(row.floor))
        table.add_row(row.name, row.unit, *(_short(figure) for figure in figures), f"{row.ratio:.2f}")
    Console(width=max(Console().width, WIDTH)).print(table)


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
