"""The emulator's front page: what this is and how to talk to it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stripe_emulator.pages.rendering import page


async def show(request: Request) -> Response:
    """Addresses and test cards."""
    return page(request, "index.html", address=str(request.base_url).rstrip("/"))
