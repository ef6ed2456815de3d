"""How a call fails on request: held up, answered with an error, or cut off, before or after its work."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from stripe_emulator.protocol.api import Api, Call
from stripe_emulator.protocol.errors import ApiError
from stripe_emulator.responding import CutOff, respond
from stripe_emulator.state import Json

REASONS = ("global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific")
"""Of a 429, as in its `Stripe-Rate-Limited-Reason`. See https://docs.stripe.com/rate-limits"""

LIMIT_CODES = ("rate_limit", "lock_timeout")
"""Of a 429. See https://docs.stripe.com/error-codes"""

ASKED = "An error was asked of stripe_emulator for this call."

_TYPES = {402: "card_error", 409: "idempotency_error"}


async def fail(api: Api, call: Call, fault: Json) -> Response:
    """Let a call go as the fault has it; `slow` alone still ends with the answer it would have had."""
    slow, timeout = fault.get("slow"), fault["timeout"]
    answer = api.answer(call) if fault["after_work"] or (fault["status"] is None and timeout is None) else None
    await asyncio.sleep(slow or timeout or 0)
    if timeout is not None:
        return CutOff()
    if fault["status"] is None and answer is not None:
        return respond(answer)
    return respond(api.failed_work(call, _error(fault)) if fault.get("kept") else api.failure(call, _error(fault)))


def does_its_work(fault: Json) -> bool:
    """Is what was asked for done all the same?"""
    return bool(fault["after_work"]) or (fault["status"] is None and fault["timeout"] is None)


def rate_limited(reason: str) -> ApiError:
    """The 429 of a limit; the SDKs do not repeat it by themselves. The words are those of a sandbox."""
    return ApiError(
        429,
        "invalid_request_error",
        "Testmode request rate limit exceeded, the rate limits in testmode are lower than livemode. You can learn more "
        "about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        headers={"Stripe-Rate-Limited-Reason": reason},
    )


def lock_timeout() -> ApiError:
    """
    The 429 of an object that another request has locked; the SDKs repeat it.

    See https://docs.stripe.com/rate-limits#object-lock-timeouts
    """
    return ApiError(
        429,
        "invalid_request_error",
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
        "it. If you see this error intermittently, retry the request. If you see this error frequently and are making "
        "multiple concurrent requests to a single object, make your requests serially or at a lower rate.",
        code="lock_timeout",
        headers={"Stripe-Should-Retry": "true"},
    )


def _error(fault: Json) -> ApiError:
    status = int(fault["status"])
    if status == 429:
        locked = fault.get("code") == "lock_timeout"
        error = lock_timeout() if locked else rate_limited(fault.get("reason") or "global-rate")
    else:
        error = ApiError(status, _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error"), ASKED)
    if fault.get("should_retry") is not None:
        error.headers["Stripe-Should-Retry"] = "true" if fault["should_retry"] else "false"
    return error
