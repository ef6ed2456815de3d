"""Requests that change something come from our own pages, or from no browser at all."""

from __future__ import annotations

import pytest

from paidup.errors import CrossOriginRequest
from paidup.web.origin import check_origin

APP = "https://app.example.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": APP},
        {"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"},
        {},
    ],
)
def test_our_own_pages_pass(headers: dict[str, str]) -> None:
    check_origin(headers, app_url=APP)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": APP},
        {"sec-fetch-site": ""},
        {"origin": "https://evil.com"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://app.example.com.evil.com"},
        {"origin": "https://[", "host": "app.example.com"},
        {"origin": "http://127.0.0.1:8001", "host": "127.0.0.1:8000"},
    ],
)
def test_another_sites_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(CrossOriginRequest):
        check_origin(headers, app_url=APP)
