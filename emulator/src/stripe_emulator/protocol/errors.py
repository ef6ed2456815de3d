"""
Stripe's errors.

ApiError
├── invalid(...)            400 invalid_request_error
├── no_such(...)            404 (400 for a parameter) resource_missing
├── card_error(...)         402 card_error
└── idempotency_error(...)  400 idempotency_error
"""

from __future__ import annotations

from typing import Any

DOC_URL = "https://docs.stripe.com/error-codes#"


class ApiError(Exception):
    """
    An answer in Stripe's error envelope. `extra` joins the envelope (`payment_intent`, `charge`, ...).

    `keep`: what was done before the failure stays done, as a declined card leaves a failed charge behind.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.code = code
        self.param = param
        self.decline_code = decline_code
        self.extra = extra or {}
        self.headers = headers or {}
        self.keep = keep

    def envelope(self, request_id: str) -> dict[str, Any]:
        """The JSON body of the answer."""
        error: dict[str, Any] = {}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = DOC_URL + self.code.replace("_", "-")
        if self.decline_code is not None:
            error["decline_code"] = self.decline_code
        error["message"] = self.message
        if self.param is not None:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        error["type"] = self.type
        return {"error": {**error, **self.extra}}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> ApiError:
    """A request that can't be carried out as sent."""
    return ApiError(status, "invalid_request_error", message, code=code, param=param)


def no_such(noun: str, id: str, *, param: str = "id") -> ApiError:
    """An id that leads nowhere: 404 when it is the path's own, 400 when a parameter names it."""
    status = 404 if param == "id" else 400
    return invalid(f"No such {noun}: '{id}'", param=param, code="resource_missing", status=status)


def card_error(
    message: str, *, code: str, decline_code: str | None = None, param: str | None = None, **extra: Any
) -> ApiError:
    """A card that was refused."""
    return ApiError(402, "card_error", message, code=code, decline_code=decline_code, param=param, extra=extra)


def idempotency_error(message: str, *, code: str | None = None, status: int = 400) -> ApiError:
    """An Idempotency-Key used for something else, or still in use."""
    return ApiError(status, "idempotency_error", message, code=code)
