"""
Templates and the headers every page carries.

Nothing on a page may load or run anything but our own stylesheet and icon, and an address, being a credential, is
neither sent on as a referrer nor cached.
"""

from __future__ import annotations

from http import HTTPStatus

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from stripe_emulator.hosted import Hosted
from stripe_emulator.pages import formats
from stripe_emulator.pages.notices import notice_for

# Chromium holds every redirect after a form to form-action, so it must let through wherever the merchant's address goes
# on to; the rest is denied.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' http: https:; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def hosted(request: Request) -> Hosted:
    """The emulator behind the pages."""
    found: Hosted = request.app.state.hosted
    return found


def page(request: Request, template: str, *, status: int = HTTPStatus.OK, **context: object) -> HTMLResponse:
    """An HTML page; the template also gets the `notice` the page was redirected to with."""
    text = _templates.get_template(template).render(notice=notice_for(request), **context)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def message_page(
    request: Request,
    *,
    title: str,
    text: str,
    link: str | None = None,
    link_text: str = "",
    link_id: str = "return",
    status: int = HTTPStatus.OK,
) -> HTMLResponse:
    """A page that only says something, with at most one way on."""
    return page(
        request,
        "message.html",
        status=status,
        title=title,
        text=text,
        link=link,
        link_text=link_text,
        link_id=link_id,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stripe_emulator.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for format in (
        formats.card,
        formats.day,
        formats.days,
        formats.expiry,
        formats.money,
        formats.per,
        formats.price,
        formats.short_day,
        formats.web_url,
    ):
        environment.filters[format.__name__] = format
    return environment


_templates = _environment()
