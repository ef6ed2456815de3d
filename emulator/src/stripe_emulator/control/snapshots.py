"""Snapshots: everything as it is, to go back to."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.control.answers import route
from stripe_emulator.control.sent import Sent
from stripe_emulator.snapshots import Snapshots
from stripe_emulator.state import Json


async def list_snapshots(request: Request, sent: Sent) -> list[Json]:
    """Every snapshot, oldest first, without its content."""
    return [one.described() for one in _snapshots(request).all()]


async def take(request: Request, sent: Sent) -> Json:
    """Keep everything as it is now, by `name`; or, with `snapshot`, what was read from here before."""
    name, document = sent.text("name"), sent.structure("snapshot")
    sent.refuse_unread()
    kept = _snapshots(request).take(name) if document is None else _snapshots(request).load(document, name)
    return kept.described()


async def read(request: Request, sent: Sent) -> Json:
    """One with its content, for a file."""
    return _snapshots(request).get(request.path_params["name"]).document()


async def restore(request: Request, sent: Sent) -> Json:
    """Go back to one; it stays, to be gone back to again."""
    sent.refuse_unread()
    return _snapshots(request).restore(request.path_params["name"]).described()


async def remove(request: Request, sent: Sent) -> Json:
    """Forget one."""
    sent.refuse_unread()
    _snapshots(request).remove(request.path_params["name"])
    return {"name": request.path_params["name"], "deleted": True}


def _snapshots(request: Request) -> Snapshots:
    snapshots: Snapshots = request.app.state.snapshots
    return snapshots


ROUTES = [
    route("GET", "snapshots", list_snapshots),
    route("POST", "snapshots", take),
    route("GET", "snapshots/{name}", read),
    route("DELETE", "snapshots/{name}", remove),
    route("POST", "snapshots/{name}/restore", restore),
]
