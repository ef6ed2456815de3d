"""Somebody who reads the starter's pages and sends their forms, without a browser."""

from __future__ import annotations

import html
import re
import uuid

import httpx

from tests.support.paying import GOOD_CARD, pay

PASSWORD = "a perfectly fine password"


class Reader:
    """Somebody signed in who reads pages and sends their forms."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.email = f"ada-{uuid.uuid4().hex[:10]}@example.com"
        client.post("/sign-up", data={"name": "Ada Lovelace", "email": self.email, "password": PASSWORD})

    def reads(self, path: str, *, status: int = 200) -> str:
        """A page's source, with its entities as letters."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return html.unescape(answer.text)

    def sends(self, path: str, **form: str) -> httpx.Response:
        """A form, which must not be refused."""
        answer = self.client.post(path, data=form)
        assert answer.status_code == 303, answer.text
        return answer

    def buys(self, plan: str, *, card: str | None = GOOD_CARD, **form: str) -> None:
        """From Checkout back to the app; None as the card begins a trial without one."""
        checkout = self.sends("/billing/checkout", plan=plan, **form).headers["location"]
        back = self.client.get(pay(checkout, number=card), follow_redirects=True)
        assert 'data-state="subscribed"' in back.text

    def changes(self, path: str) -> None:
        """Agree to the change that a page quotes."""
        quote = re.search(r'name="quote" value="(\w+)"', self.reads(path))
        assert quote is not None
        self.sends("/billing/change", quote=quote[1])


def fact(page: str, name: str) -> str:
    """A line of a list of facts, such as `plan`."""
    found = re.search(rf'data-fact="{name}">([^<]*)<', page)
    return found[1].strip() if found else ""


def text_of(page: str) -> str:
    """What a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())
