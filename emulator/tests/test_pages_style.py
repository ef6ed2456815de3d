"""What every page has: safe headers, labelled inputs, nothing from elsewhere, colours that can be read."""

from __future__ import annotations

import re
from importlib.resources import files

import httpx
import pytest

from emulator.tests.scripted_hosted import ScriptedHosted, a_checkout, a_client, a_portal, an_invoice
from stripe_emulator.hosted import ChallengeView

PAGES = [
    "/",
    "/c/pay/cs_test_1",
    "/c/3ds/t",
    "/p/session/s",
    "/p/session/s/payment-method",
    "/p/session/s/subscriptions/sub_1/cancel",
    "/p/session/s/subscriptions/sub_1/change",
    "/p/session/s/subscriptions/sub_1/change/confirm?price=price_pro",
    "/i/token",
]
CSS = (files("stripe_emulator.pages") / "static" / "pages.css").read_text()

TEXT_PAIRS = [
    ("text", "page"),
    ("text", "panel"),
    ("text", "field"),
    ("muted", "page"),
    ("muted", "panel"),
    ("muted", "field"),
    ("link", "page"),
    ("link", "panel"),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("bad", "page"),
    ("bad", "bad-soft"),
    ("good", "good-soft"),
    ("warn", "warn-soft"),
    ("info", "info-soft"),
    ("on-ribbon", "ribbon"),
]
EDGE_PAIRS = [("field-line", "field"), ("field-line", "page"), ("link", "page"), ("link", "panel"), ("bad", "page")]


@pytest.fixture
def pages() -> httpx.Client:
    hosted = ScriptedHosted(
        checkout_view=a_checkout(),
        portal_view=a_portal(),
        invoice_view=an_invoice(),
        challenge_view=ChallengeView("t", 900, "usd", "Shop"),
    )
    return a_client(hosted)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_and_loads_nothing(pages: httpx.Client, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self';")
    assert "base-uri 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<script" not in answer.text
    assert not re.search(r"\sstyle=|\son\w+=", answer.text)
    assert set(re.findall(r'<link[^>]*href="([^"]*)"', answer.text)) == {"/_pages/pages.css", "/_pages/icon.svg"}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_that_it_is_a_test(pages: httpx.Client, path: str) -> None:
    assert "TEST MODE — emulated Stripe" in pages.get(path).text


@pytest.mark.parametrize("path", PAGES)
def test_every_input_has_a_label(pages: httpx.Client, path: str) -> None:
    html = pages.get(path).text
    labels = set(re.findall(r'<label for="([^"]+)"', html))
    for tag in re.findall(r"<(?:input|select|textarea)\b[^>]*>", html):
        if 'type="hidden"' in tag or 'type="radio"' in tag:  # a radio is inside its label
            continue
        found = re.search(r'\bid="([^"]+)"', tag)
        assert found is not None
        assert found[1] in labels


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_one_heading_and_one_main_part(pages: httpx.Client, path: str) -> None:
    html = pages.get(path).text
    assert (html.count("<h1"), html.count("<main")) == (1, 1)
    assert re.search(r"<title>[^<]+</title>", html)


def test_the_files_a_page_needs_are_there(pages: httpx.Client) -> None:
    for path, kind in (("/_pages/pages.css", "text/css"), ("/_pages/icon.svg", "image/svg+xml")):
        answer = pages.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
    assert pages.get("/favicon.ico").status_code == 204


def test_the_stylesheet_loads_nothing() -> None:
    assert "url(" not in CSS
    assert "@import" not in CSS


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"), [(*pair, 4.5) for pair in TEXT_PAIRS] + [(*pair, 3.0) for pair in EDGE_PAIRS]
)
def test_colours_can_be_told_apart(scheme: str, front: str, back: str, least: float) -> None:
    """WCAG 2.2 AA: 1.4.3 for text, 1.4.11 for the edges of fields and the focus ring."""
    colours = tokens(scheme)
    assert contrast(colours[front], colours[back]) >= least


def tokens(scheme: str) -> dict[str, str]:
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    found = dict(re.findall(r"--([\w-]+): (#\w{6});", light))
    if scheme == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#\w{6});", dark))
    return found


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
