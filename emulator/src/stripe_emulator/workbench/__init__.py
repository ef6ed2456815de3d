"""
The Workbench: what there is, what happened and what will, for people.

Plain HTML over the same store and the same control functions that programs use; every form works without JavaScript and
leads back to the page it came from.
"""

from __future__ import annotations

from starlette.routing import Route

from stripe_emulator.workbench import clocks, events, faults, objects, overview, requests, webhooks
from stripe_emulator.workbench.page import stylesheet

__all__ = ["workbench_routes"]


def workbench_routes() -> list[Route]:
    """Every route of the Workbench."""
    return [
        Route("/workbench/workbench.css", stylesheet),
        *overview.ROUTES,
        *objects.ROUTES,
        *events.ROUTES,
        *webhooks.ROUTES,
        *clocks.ROUTES,
        *faults.ROUTES,
        *requests.ROUTES,
    ]
