"""
Where a user may be sent back to: the app itself, or a host that was allowed in the settings. Nowhere else.

Browsers forgive a lot in an address (`//evil`, `/\\evil`, `https:evil`, tabs, encoded slashes); nothing of it passes.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from paidup.errors import InvalidReturnUrl

_LONGEST = 2_000


def safe_return_url(value: str, *, app_url: str, allowed_hosts: Collection[str] = ()) -> str:
    """
    An absolute URL for a path of the app or an allowed URL. Raises InvalidReturnUrl for everything else.

    `allowed_hosts` are host names, with a port if it is not the scheme's own. Other hosts than the app's need https.
    """
    if not value or len(value) > _LONGEST:
        raise _refused("is empty or too long")
    # Browsers drop tabs and newlines, and read a backslash as a slash, before they look for a host.
    if not value.isascii() or not value.isprintable() or "\\" in value or " " in value:
        raise _refused("has characters that have no place in an address")
    if value.startswith("/"):
        return app_url + _checked_path(value)
    try:
        parts, app = urlsplit(value), urlsplit(app_url)
        port = parts.port
    except ValueError as error:
        raise _refused("cannot be read as an address") from error
    if parts.scheme not in ("http", "https") or not value.startswith(f"{parts.scheme}://") or not parts.hostname:
        raise _refused("is neither a path of the app nor an http(s) address")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _refused("carries a user name, which hides the real host")
    _checked_path(parts.path or "/")
    if (parts.scheme, parts.hostname, port) == (app.scheme, app.hostname, app.port):
        return value
    host = parts.hostname if port is None else f"{parts.hostname}:{port}"
    if parts.scheme == "https" and host in {each.lower() for each in allowed_hosts}:
        return value
    raise _refused(f"leads to {host!r}, which is not allowed")


def _checked_path(path: str) -> str:
    """The path, unless it could be read as a host: with two slashes in front, encoded or not."""
    decoded = path
    for _ in range(3):  # %252f is %2f is /
        if decoded.startswith("//") or "\\" in decoded or not decoded.isprintable():
            raise _refused("could be read as another host")
        decoded = unquote(decoded)
    return path


def _refused(why: str) -> InvalidReturnUrl:
    return InvalidReturnUrl(
        f"the return address {why}", remedy="use a path of the app, or add the host to PAIDUP_RETURN_HOSTS"
    )
