"""
What a form's answer tells the page it redirects to.

A notice is kept here, in memory, under an unguessable name that travels in the address: so reloading a page never
submits a card again, and neither messages nor e-mail addresses appear in an address or a log. Card numbers are never
kept.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse

_PARAMETER = "notice"
_KEPT = 500


@dataclass(frozen=True, slots=True)
class Errand:
    """A form's way on, kept while the bank is asked: `here` to try again, `done` when it went well, with `said`."""

    here: str
    done: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A message for the top of a page, messages by form field, and what had been typed that is no secret.

    `errand`: the form that sent the customer to the 3D Secure page.
    """

    kind: Literal["error", "success"] = "success"
    message: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    errand: Errand | None = None

    @property
    def is_error(self) -> bool:
        """Does it say that something went wrong?"""
        return self.kind == "error" and bool(self.message)


def see_other(request: Request, url: str, notice: Notice | None = None) -> RedirectResponse:
    """Redirect after a POST. A notice is only handed to our own pages, not to the merchant's."""
    if notice is not None and url.startswith("/"):
        name = secrets.token_urlsafe(12)
        kept = _kept(request)
        kept[name] = notice
        while len(kept) > _KEPT:
            kept.popitem(last=False)
        url += ("&" if "?" in url else "?") + urlencode({_PARAMETER: name})
    return RedirectResponse(url, status_code=303)


def notice_for(request: Request) -> Notice:
    """The notice this page was redirected to with; an empty one otherwise."""
    return _kept(request).get(request.query_params.get(_PARAMETER, ""), Notice())


def query_without_notice(request: Request) -> dict[str, str]:
    """The query of a page as it was asked for: a notice is said once, not on the pages one goes on to."""
    return {name: value for name, value in request.query_params.items() if name != _PARAMETER}


def _kept(request: Request) -> OrderedDict[str, Notice]:
    state = request.app.state
    if not hasattr(state, "page_notices"):
        state.page_notices = OrderedDict()
    kept: OrderedDict[str, Notice] = state.page_notices
    return kept
