"""The stylesheet and the icon; nothing comes from anywhere else."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

_STATIC = files("stripe_emulator.pages") / "static"
_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


async def stylesheet(request: Request) -> Response:
    """The one stylesheet."""
    return Response(_STATIC.joinpath("pages.css").read_bytes(), media_type="text/css", headers=_HEADERS)


async def icon(request: Request) -> Response:
    """The icon browsers show in the tab."""
    return Response(_STATIC.joinpath("icon.svg").read_bytes(), media_type="image/svg+xml", headers=_HEADERS)


async def no_favicon(request: Request) -> Response:
    """Nothing, for browsers that ask for an .ico whatever the page says (the API's JSON has no page)."""
    return Response(status_code=204)
