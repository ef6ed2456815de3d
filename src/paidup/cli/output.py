"""What every command prints with: tables for people, JSON for machines, and errors that say what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from paidup.errors import BillingError, CatalogError, Problem, SettingsError

_PIPE_WIDTH = 240

AsJson = typer.Option(False, "--json", help="Print JSON for machines.")


def run_or_explain(app: typer.Typer) -> int:
    """Run the command line; paidup's errors become a message on stderr and an exit code, never a traceback."""
    try:
        app(standalone_mode=True)
    except (SettingsError, CatalogError) as error:
        _print_problems(error.problems, title="paidup is not configured" if isinstance(error, SettingsError) else None)
        return 2
    except BillingError as error:
        _console(stderr=True).print(Text(str(error), style="red"))
        return 1
    return 0


def fail(message: str, *, code: int = 1) -> typer.Exit:
    """Print to stderr and give the exit to raise."""
    _console(stderr=True).print(Text(message, style="red"))
    return typer.Exit(code)


def say(text: str, facts: Mapping[str, object], *, as_json: bool) -> None:
    """Print one result: a sentence for people, or its facts as JSON."""
    if as_json:
        show_json(facts)
    else:
        typer.echo(text)


def show(rows: Sequence[Mapping[str, object]], columns: Iterable[str], *, as_json: bool, empty: str) -> None:
    """Print rows as a table of these columns, or all of them as JSON."""
    if as_json:
        show_json(rows)
        return
    console = _console()
    if not rows:
        console.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console.print(table)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Bars on stderr, one a phase: call it with the phase, how much is done, and how much there is if that is known."""
    columns = (TextColumn("{task.description:<13}"), BarColumn(), TextColumn("{task.completed:,}"), TimeElapsedColumn())
    with RichProgress(*columns, console=_console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(phase: str, done: int, expected: int | None) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=expected)
            total = None if expected is None else max(done, expected)
            bars.update(tasks[phase], completed=done, total=total)

        yield tell


def show_json(value: object) -> None:
    """Print a value as JSON; datetimes as ISO 8601."""
    sys.stdout.write(json.dumps(value, default=_plain, indent=2) + "\n")


def _console(*, stderr: bool = False) -> Console:
    # A pipe has no width of its own; ids that are folded at 80 columns cannot be searched for.
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _print_problems(problems: Sequence[Problem], *, title: str | None) -> None:
    console = _console(stderr=True)
    console.print(Text(title or "the plans file is not valid", style="bold red"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("key", "problem", "remedy"):
        table.add_column(column, overflow="fold")
    for each in problems:
        table.add_row(Text(each.key), Text(each.message), Text(each.remedy))
    console.print(table)
