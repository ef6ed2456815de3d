"""Where a user may be sent: home, or to a host that was allowed."""

from __future__ import annotations

import pytest

from paidup.errors import InvalidReturnUrl
from paidup.web.return_urls import safe_return_url

APP = "https://app.example.com"


def check(value: str) -> str:
    return safe_return_url(value, app_url=APP, allowed_hosts=("docs.example.com", "Other.example:8443"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/", f"{APP}/"),
        ("/settings/billing?tab=1#cards", f"{APP}/settings/billing?tab=1#cards"),
        ("/a//b", f"{APP}/a//b"),
        (f"{APP}/x", f"{APP}/x"),
        (APP, APP),
        ("https://docs.example.com/x", "https://docs.example.com/x"),
        ("https://other.example:8443/", "https://other.example:8443/"),
    ],
)
def test_the_app_and_allowed_hosts_pass(value: str, expected: str) -> None:
    assert check(value) == expected


@pytest.mark.hazard(66)
@pytest.mark.parametrize(
    "value",
    [
        "",
        "evil.com",
        "//evil.com",
        "///evil.com",
        "////evil.com",
        "/\\evil.com",
        "\\\\evil.com",
        "\\/evil.com",
        "/%2fevil.com",
        "/%2F%2Fevil.com",
        "/%252fevil.com",
        "/%5cevil.com",
        "/%255cevil.com",
        "/\t/evil.com",
        "/\n/evil.com",
        "\t//evil.com",
        " //evil.com",
        "/%09/evil.com",
        "/%0a/evil.com",
        "https:evil.com",
        "https:/evil.com",
        "https:///evil.com",
        "https://evil.com",
        "http://app.example.com/",
        "https://app.example.com.evil.com/",
        "https://app.example.com@evil.com/",
        "https://user:pass@app.example.com/",
        "https://@app.example.com/",
        "https://app.example.com:8443/",
        "https://docs.example.com:444/",
        "http://docs.example.com/",
        "https://app.example.com:x/",
        "https://[::1/",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "ftp://app.example.com/",
        "https://\u0430pp.example.com/",
        "https://app。example.com/",
        "/caf\u00e9",
        "/\u202e",
        "/\x00",
        "/" + "a" * 3000,
    ],
)
def test_everything_else_is_refused(value: str) -> None:
    with pytest.raises(InvalidReturnUrl):
        check(value)
