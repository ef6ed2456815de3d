"""Templates to pages: the environment, money and dates, and what every page knows."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path

from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from paidup import Money
from saas.billing import addon_name
from saas.offers import costs
from saas.settings import settings

_HERE = Path(__file__).parent.parent
STATIC = _HERE / "static"
LOCALE = "en_US"

_CLOCK_NOTES = {
    "moved": "The clock was moved. Pages follow within a second or two.",
    "decline": "The next payment without the customer present will be declined.",
}


def page(request: Request, template: str, *, status: int = 200, **context: object) -> HTMLResponse:
    """A page. It knows the viewer when the request has looked them up."""
    config = settings()
    html = (
        _environment()
        .get_template(template)
        .render(
            viewer=getattr(request.state, "viewer", None),
            path=request.url.path,
            here=config.app_url + request.url.path,
            app_name=config.app_name,
            test_mode=not config.billing.livemode,
            test_clock_url=config.test_clock_url,
            clock_note=_CLOCK_NOTES.get(request.query_params.get("clock", "")),
            **context,
        )
    )
    return HTMLResponse(html, status_code=status)


def money(amount: int, currency: str) -> str:
    """Minor units as people write them: `$9`, `$9.50`, `¥500`."""
    exact = Money(amount, currency)
    whole = exact.decimal == exact.decimal.to_integral_value()
    if whole:
        return format_currency(exact.decimal, currency.upper(), format="¤#,##0", locale=LOCALE, currency_digits=False)
    return format_currency(exact.decimal, currency.upper(), locale=LOCALE)


def exact_money(amount: int, currency: str) -> str:
    """Minor units with all decimals, for tables: `$9.00`."""
    return format_currency(Money(amount, currency).decimal, currency.upper(), locale=LOCALE)


def day(moment: datetime | None) -> str:
    """A date: `Jan 31, 2027`."""
    return format_date(moment, "medium", locale=LOCALE) if moment else "an unknown date"


def short_day(date: str) -> str:
    """An ISO date without its year: `11/16`."""
    return format_skeleton("Md", datetime.fromisoformat(date), locale=LOCALE)


def stamp(moment: datetime) -> str:
    """A date and time, in UTC."""
    return format_datetime(moment, "MMM d, HH:mm", locale=LOCALE) + " UTC"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"day": day, "short_day": short_day, "stamp": stamp}
    environment.globals |= {
        "money": money,
        "exact_money": exact_money,
        "costs": costs,
        "asset": _asset,
        "addon_name": addon_name,
    }
    return environment


@cache
def _asset(name: str) -> str:
    """The address of a static file; it changes with its content, so that browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"
