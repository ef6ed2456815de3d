"""
Did this request come from our own pages? Browsers say so themselves, so no token is needed.

`Sec-Fetch-Site` decides where it is sent; older browsers send `Origin`. A request with neither does not come from a
browser, and so cannot ride on anybody's cookies.
See https://developer.mozilla.org/docs/Web/HTTP/Headers/Sec-Fetch-Site
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from paidup.errors import CrossOriginRequest


def check_origin(headers: Mapping[str, str], *, app_url: str) -> None:
    """
    Let a state-changing request of the app's own pages pass. Raises CrossOriginRequest for another site's.

    `headers` has lower-case names; `app_url` is the app's public address.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        # `none` is the user's own doing: typed, or a bookmark. `same-site` may be a tenant on a sibling host.
        if site in ("same-origin", "none"):
            return
        raise _refused()
    origin = headers.get("origin")
    if origin is None:
        return
    if _host(origin) not in (_host(app_url), (headers.get("host") or "").lower()):
        raise _refused()


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower() or "null"
    except ValueError:
        return "null"


def _refused() -> CrossOriginRequest:
    return CrossOriginRequest("this request came from another site", remedy="send it from the app's own pages")
