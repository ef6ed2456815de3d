"""One try of one delivery: signed, sent, and what came of it."""

from __future__ import annotations

import time
from typing import Any

import httpx
from stripe import WebhookSignature

from stripe_emulator.clock import real_time
from stripe_emulator.delivery_rules import Plan
from stripe_emulator.state import Json

WRONG_SECRET = "whsec_of_nobody"

LOST = "lost on the way, as asked"
DROPPED = "dropped, as asked"
ANOTHER_SECRET = "signed with another secret, as asked"
SENT_AGAIN = "sent once more, as asked"


class Sender:
    """Makes tries over one client; a try that fails is an answer like any other."""

    def __init__(self, timeout: float) -> None:
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def attempts(self, url: str, body: str, secrets: list[str], old: str | None, plan: Plan) -> list[Json]:
        """
        Make one try as planned, and its copies.

        An attempt is `at` (Unix seconds), `status` (None without an answer), `error`, `seconds`, and `asked`: what was
        done to it on request. Copies are marked `copy`.
        """
        if plan.dropped or plan.lost:
            return [_unsent(DROPPED if plan.dropped else LOST)]
        if plan.secret is not None:
            secrets = [{"wrong": WRONG_SECRET, "old": old or WRONG_SECRET}.get(plan.secret, plan.secret)]
        made = [await self._try(url, body, secrets)]
        if plan.secret is not None:
            made[0]["asked"] = ANOTHER_SECRET
        copies = [await self._try(url, body, secrets) for _ in range(plan.copies - 1)]
        made += [{**copy, "asked": SENT_AGAIN, "copy": True} for copy in copies]
        if plan.ignored:
            answer = made[0]["status"] or made[0]["error"]
            made[0].update(status=None, error=f"the answer ({answer}) came too late, as asked", asked="answer ignored")
        return made

    async def _try(self, url: str, body: str, secrets: list[str]) -> Json:
        started = time.monotonic()
        attempt: dict[str, Any] = {"at": real_time(), "status": None, "error": None}
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, secrets),
        }
        try:
            response = await self._client.post(url, content=body.encode(), headers=headers)
            attempt["status"] = response.status_code
            if not response.is_success:
                attempt["error"] = response.text[:500]
        except httpx.HTTPError as error:
            attempt["error"] = f"{type(error).__name__}: {error}"
        attempt["seconds"] = round(time.monotonic() - started, 3)
        return attempt


def signature(body: str, secrets: list[str]) -> str:
    """The `Stripe-Signature` header: the real time, and one v1 for every active secret."""
    timestamp = real_time()
    headers = [WebhookSignature.generate_signature_header(body, secret, timestamp) for secret in secrets]
    return ",".join([headers[0], *(header.partition(",")[2] for header in headers[1:])])


def _unsent(why: str) -> Json:
    return {"at": real_time(), "status": None, "error": why, "seconds": 0.0, "asked": why}
