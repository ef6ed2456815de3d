"""
The control API under /_emulator: time, faults, deliveries, reset. It has no key; the emulator listens on loopback only.

Requests are forms or JSON. What can't be done as asked is a 400 that names the parameter, and nothing has happened.
"""

from __future__ import annotations

from starlette.routing import Route

from stripe_emulator.control import clock, dashboard, deliveries, faults, objects, settings, snapshots, status


def control_routes() -> list[Route]:
    """Every route of the control API."""
    return [
        *status.ROUTES,
        *clock.ROUTES,
        *faults.ROUTES,
        *deliveries.ROUTES,
        *dashboard.ROUTES,
        *objects.ROUTES,
        *settings.ROUTES,
        *snapshots.ROUTES,
    ]


__all__ = ["control_routes"]
