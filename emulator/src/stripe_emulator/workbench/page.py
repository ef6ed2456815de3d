"""How the Workbench's pages are made, and how its forms are carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from stripe_emulator.control.answers import deliverer_of, engine_of
from stripe_emulator.control.sent import Sent
from stripe_emulator.pages.notices import Notice, notice_for, query_without_notice, see_other
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.workbench import formats

SETTLE_SECONDS = 2.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_STATIC = files("stripe_emulator.workbench") / "static"

Handler = Callable[[Request, Sent], Awaitable[Any]]


def page(request: Request, template: str, *, status_code: int = HTTPStatus.OK, **context: object) -> HTMLResponse:
    """A page. Its template also gets the clock, what is owed, the delivery mode and the notice of a form before it."""
    engine = engine_of(request)
    text = _templates.get_template(f"workbench/{template}").render(
        here=request.url.path,
        back=_address(request),
        notice=notice_for(request),
        now=engine.now(),
        owed=len(deliverer_of(request).owed()),
        peek=engine.store.peek,
        **context,
    )
    return HTMLResponse(text, status_code=status_code, headers=_HEADERS)


def missing(request: Request, what: str) -> HTMLResponse:
    """The page that says there is no such thing."""
    return page(request, "missing.html", status_code=HTTPStatus.NOT_FOUND, what=what)


def action(path: str, handler: Handler, *, done: str) -> Route:
    """
    A form: what the control API does, and back to the page it was on.

    `done` is said when it went well, with `{…}` filled from what the handler gives; a refusal is said as it is.
    """

    async def submit(request: Request) -> Response:
        try:
            sent = Sent.parse(await request.body(), {})
            back = _back(sent.text("back"))
            given = await handler(request, sent)
        except ApiError as error:
            return see_other(request, _back(request.headers.get("referer")), Notice("error", error.message))
        await deliverer_of(request).settle(SETTLE_SECONDS)
        return see_other(request, back, Notice("success", done.format_map(_Said(given))))

    return Route(f"/workbench/{path}", submit, methods=["POST"])


async def stylesheet(request: Request) -> Response:
    """The Workbench's own rules, beside those of all pages."""
    return Response(_STATIC.joinpath("workbench.css").read_bytes(), media_type="text/css", headers=_HEADERS)


class _Said(dict[str, Any]):
    def __init__(self, given: object) -> None:
        super().__init__(given if isinstance(given, dict) else {})

    def __missing__(self, key: str) -> str:
        return ""


def _address(request: Request) -> str:
    """This page as it was filtered, for its forms to come back to."""
    query = query_without_notice(request)
    return request.url.path + (f"?{urlencode(query)}" if query else "")


def _back(target: str | None) -> str:
    parts = urlsplit(target or "")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/workbench") else "/workbench"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stripe_emulator.workbench"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for each in (
        formats.about,
        formats.clock_time,
        formats.linked,
        formats.milliseconds,
        formats.minute,
        formats.moment,
        formats.tone,
    ):
        environment.filters[each.__name__] = each
    return environment


_templates = _environment()
