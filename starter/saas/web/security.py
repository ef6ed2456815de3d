"""
What protects every page: headers on every answer, and no state changed by another site's request.

A form on another site can make a browser post with our cookie. Browsers say where a request comes from
(`Sec-Fetch-Site`, else `Origin`); a state-changing one from elsewhere gets 403. A request with neither header is not
a browser's, and carries nobody's cookie: Stripe's webhooks are such.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saas.settings import Settings, settings
from saas.web.rendering import page

STRIPE_PAGES = ("https://checkout.stripe.com", "https://billing.stripe.com", "https://invoice.stripe.com")
"""Where forms may be redirected to: browsers hold a form's redirects to `form-action` too.

A Checkout domain of your own belongs here as well.
"""

_KEEP = "public, max-age=31536000, immutable"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def headers(config: Settings) -> dict[str, str]:
    """The security headers of every answer."""
    forms = " ".join(("'self'", *STRIPE_PAGES, *_emulator_origins(config)))
    found = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            f"form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if config.is_https:
        found["Strict-Transport-Security"] = "max-age=31536000"
    return found


class SecurityHeaders:
    """Adds the headers to every answer, and keeps pages that show somebody's data out of caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                for name, value in headers(settings()).items():
                    added.setdefault(name, value)
                added.setdefault("Cache-Control", _KEEP if _is_versioned(scope) else "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class SameOriginOnly:
    """Refuses state-changing requests that a browser sends from another site."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] in _SAFE_METHODS or is_our_own(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        response: Response = page(
            Request(scope),
            "error.html",
            status=403,
            title="That came from another site",
            text="For your safety we only accept forms from our own pages. Open the page again and retry.",
            way_on=None,
        )
        await response(scope, receive, send)


def is_our_own(request: Headers) -> bool:
    """Was the request made by one of our pages, or by something that is no browser?"""
    site = request.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.get("origin")
    if origin is None:
        return True
    return origin == _origin(settings().app_url)


def _is_versioned(scope: Scope) -> bool:
    """A static file whose address changes with its content."""
    return str(scope["path"]).startswith("/static/") and bytes(scope["query_string"]).startswith(b"v=")


def _emulator_origins(config: Settings) -> set[str]:
    urls = (config.billing.api_base, config.test_clock_url)
    return {_origin(str(url)) for url in urls if url}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
