"""
Who may talk to the emulator: programs on this machine, and pages that come from this machine.

It listens on loopback only, but a browser would carry requests there for any website: under another name (DNS
rebinding, which the Host header gives away) or from another site (which Origin and Sec-Fetch-Site give away).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = ("/_emulator", "/workbench")


class LoopbackOnly:
    """Refuses requests to another host's name, and changes that a foreign website asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or answer 403."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            if not _is_loopback(f"//{headers.get('host', '')}"):
                await _refuse("This emulator answers to 127.0.0.1 and localhost only.", scope, receive, send)
                return
            if scope["type"] == "http" and _comes_from_elsewhere(scope, headers):
                await _refuse("A page of another site may not do this.", scope, receive, send)
                return
        await self._app(scope, receive, send)


def _comes_from_elsewhere(scope: Scope, headers: Headers) -> bool:
    if scope["method"] in _READING or not scope["path"].startswith(_OURS):
        return False
    origin = headers.get("origin")
    if origin is not None and origin != "null":
        return not _is_loopback(origin)
    # Programs send neither header; every browser sends this one, and only a browser sends the origin `null`.
    return headers.get("sec-fetch-site", "same-origin" if origin is None else "cross-site") == "cross-site"


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


async def _refuse(why: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why})
        return
    await PlainTextResponse(why, status_code=403)(scope, receive, send)
