"""The quickstart, done as it is written: its plans, its ten lines, its two buttons."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import Request

from paidup import Billing
from stripe_emulator import Emulator
from tests.support.paying import pay
from tests.support.serving import address_of, bound_socket, serving
from tests.support.waiting import eventually

GUIDE = (Path(__file__).parents[2] / "docs" / "1_quickstart.md").read_text()
SECRET = "whsec_quickstart"


@dataclass
class User:
    """What an app's own sign-in knows."""

    id: int
    email: str


def signed_in_user(request: Request) -> User | None:
    """The app's own sign-in, which the guide leaves to the reader."""
    name = request.headers.get("x-user")
    return User(int(name), f"{name}@example.com") if name else None


def block(language: str, containing: str) -> str:
    """The one code block of the guide in this language that contains a text."""
    found = [each for each in re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL) if containing in each]
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def app_url(stripe: Emulator, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "plans.toml").write_text(block("toml", "[plans.pro]"))
    monkeypatch.chdir(tmp_path)
    with bound_socket() as listener:
        for name, value in {
            "STRIPE_SECRET_KEY": "sk_test_quickstart",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_BASE": stripe.url,
            "DATABASE_URL": database_url,
            "APP_URL": address_of(listener),
        }.items():
            monkeypatch.setenv(name, value)
        app: Any = ModuleType("app")
        app.signed_in_user = signed_in_user
        exec(compile(block("python", "signed_in_user"), "docs/1_quickstart.md", "exec"), app.__dict__)
        billing: Billing = app.billing
        billing.push_catalog()
        with serving(app.app, listener) as url:
            stripe.add_endpoint(f"{url}/billing/webhook", secret=SECRET)
            yield url
        billing.close()


def answers(client: httpx.Client, status: int) -> Callable[[], bool]:
    """Does the reports page answer so by now?"""
    return lambda: client.get("/reports").status_code == status


def button(containing: str) -> tuple[str, dict[str, str]]:
    """Where a form of the guide posts to, and its hidden fields."""
    form = block("html", containing)
    action = re.search(r'action="([^"]+)"', form)
    assert action is not None
    return action[1], dict(re.findall(r'name="(\w+)" value="(\w+)"', form))


def test_its_buttons_upgrade_and_cancel(app_url: str, stripe: Emulator) -> None:
    with httpx.Client(base_url=app_url, headers={"x-user": "42"}, timeout=30) as client:
        refused = client.get("/reports")
        assert (refused.status_code, refused.json()["plans"]) == (402, ["pro"])
        assert set(refused.json()) == set(re.findall(r'^  "(\w+)":', block("json", "urn:paidup"), re.MULTILINE))

        action, fields = button("/billing/checkout")
        pay(client.post(action, data=fields).headers["location"])
        eventually(answers(client, 200))

        action, fields = button("/billing/portal")
        portal = client.post(action, data=fields).headers["location"]
        assert portal.startswith(stripe.url)
        _cancel(portal)
        eventually(lambda: client.get("/billing/access").json()["canceling"])
        assert client.get("/reports").status_code == 200
        stripe.advance(days=20)
        eventually(answers(client, 402))


def _cancel(portal: str) -> None:
    """Cancel as a user does: find the link, find the form, submit it."""
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        page = browser.get(portal)
        link = re.search(r'<a[^>]*id="cancel-plan"[^>]*href="([^"]+)"|href="([^"]+)"[^>]*id="cancel-plan"', page.text)
        assert link is not None, page.text
        form_page = browser.get(page.url.join(link[1] or link[2]))
        form = re.search(r'<form[^>]*method="post"[^>]*>', form_page.text)
        assert form is not None, form_page.text
        action = re.search(r'action="([^"]+)"', form[0])
        done = browser.post(form_page.url.join(action[1] if action else ""), data={"feedback": "", "comment": ""})
        assert done.status_code == 200
