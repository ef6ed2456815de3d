"""Finds the app's Billing, so that commands run with its settings, plans and handlers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from paidup.billing import Billing
from paidup.cli.output import fail

App = typer.Option(
    None,
    "--app",
    envvar="PAIDUP_APP",
    help="Where the app's Billing is, as module:attribute (myapp.billing:billing). Without it, one is made from the "
    "environment, which knows no handlers.",
)


@contextmanager
def opened(app: str | None) -> Iterator[Billing]:
    """The Billing at `module:attribute`, else one from the environment; closed at the end."""
    billing = Billing.from_env() if app is None else _loaded(app)
    try:
        yield billing
    finally:
        billing.close()


def _loaded(app: str) -> Billing:
    module, _, attribute = app.partition(":")
    if not module or not attribute:
        raise fail(f"--app {app!r} is not of the form module:attribute", code=2)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise fail(f"--app {app!r} cannot be loaded: {error}", code=2) from error
    if not isinstance(found, Billing):
        raise fail(f"--app {app!r} is a {type(found).__name__}, not a Billing", code=2)
    return found
