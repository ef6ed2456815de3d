"""
One API call, from the decoded request to the encoded answer.

Order: the key, the endpoint, the idempotency key, the parameters, the work, the answer's shape. Work and kept answer
are one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic_core import to_json

from stripe_emulator.engine import RequestInfo
from stripe_emulator.protocol import idempotency
from stripe_emulator.protocol.auth import check_key
from stripe_emulator.protocol.errors import ApiError, invalid
from stripe_emulator.protocol.expand import expand
from stripe_emulator.protocol.forms import decode
from stripe_emulator.protocol.paging import page
from stripe_emulator.protocol.routing import Route, Router
from stripe_emulator.protocol.versions import translate
from stripe_emulator.rendering import as_list, show
from stripe_emulator.resources.index import ROUTES
from stripe_emulator.resources.invoice_previews import Undone
from stripe_emulator.state import Json
from stripe_emulator.validation.params import Params
from stripe_emulator.validation.requests import parse
from stripe_emulator.validation.responses import ShapeError, assert_shape

if TYPE_CHECKING:
    from stripe_emulator.engine import Engine

PAGING = ("limit", "starting_after", "ending_before", "created")


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request as it came: `encoded` is the form body or the query string, `version` its `Stripe-Version`.
    """

    method: str
    path: str
    encoded: str
    authorization: str | None = None
    idempotency_key: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


class Api:
    """Stripe's v1 API over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._router = Router(ROUTES)
        self._in_flight: set[str] = set()

    def begin(self, call: Call) -> None:
        """Note that a request with an idempotency key is under way; raises the 409 when one already is."""
        if call.idempotency_key and call.method == "POST":
            if call.idempotency_key in self._in_flight:
                raise idempotency.in_use(call.idempotency_key)
            self._in_flight.add(call.idempotency_key)

    def end(self, call: Call) -> None:
        """The request is over."""
        self._in_flight.discard(call.idempotency_key or "")

    def endpoint(self, call: Call) -> str:
        """The name of the operation a call is for: its method, and its path with ids left open."""
        try:
            return f"{call.method} {self._router.match(call.method, call.path)[0].path}"
        except ApiError:
            return f"{call.method} of nothing"

    def answer(self, call: Call) -> Answer:
        """Carry a request out."""
        request_id = self._engine.ids.request_id(call.method)
        try:
            check_key(call.authorization)
            self._engine.catch_up()
            return self._perform(call, request_id)
        except ApiError as error:
            return self.failure(call, error, request_id)
        except ShapeError as error:
            message = f"stripe_emulator built an object the SDK does not know: {error}"
            return self.failure(call, ApiError(500, "api_error", message), request_id)

    def failure(self, call: Call, error: ApiError, request_id: str | None = None) -> Answer:
        """An error as Stripe sends it."""
        request_id = request_id or self._engine.ids.request_id(call.method)
        headers = {**self._headers(call, request_id), **error.headers}
        return Answer(error.status, pretty(error.envelope(request_id)), headers)

    def failed_work(self, call: Call, error: ApiError) -> Answer:
        """An error that comes after the work had begun: under a key it is the answer from then on."""
        request_id = self._engine.ids.request_id(call.method)
        key = call.idempotency_key if call.method == "POST" else None
        if not key:
            return self.failure(call, error, request_id)
        try:
            if (kept := self._replayed(call, key)) is not None:
                return kept
        except ApiError as reused:
            return self.failure(call, reused, request_id)
        body, mark = pretty(error.envelope(request_id)), idempotency.fingerprint(call.encoded)
        with self._engine.transaction():
            first = {"method": call.method, "path": call.path, "mark": mark, "request_id": request_id}
            idempotency.keep(self._engine, key, status=error.status, body=body, **first)
        return Answer(error.status, body, {**self._headers(call, request_id), **error.headers})

    def _replayed(self, call: Call, key: str) -> Answer | None:
        mark = idempotency.fingerprint(call.encoded)
        kept = idempotency.replay(self._engine, key, call.method, call.path, mark)
        if kept is None:
            return None
        headers = {
            **self._headers(call, kept["request_id"]),
            "Idempotent-Replayed": "true",
            "Original-Request": kept["request_id"],
        }
        return Answer(kept["status"], kept["body"], headers)

    def _perform(self, call: Call, request_id: str) -> Answer:
        route, ids = self._router.match(call.method, call.path)
        key = call.idempotency_key if call.method == "POST" else None
        mark = idempotency.fingerprint(call.encoded)
        if key and (kept := self._replayed(call, key)) is not None:
            return kept
        params = parse(route.params, translate(decode(call.encoded), route.params, call.version))
        body, status = self._work(call, route, ids, params, request_id, key, mark)
        return Answer(status, body, self._headers(call, request_id))

    def _work(
        self, call: Call, route: Route, ids: list[str], params: Params, request_id: str, key: str | None, mark: str
    ) -> tuple[str, int]:
        info = RequestInfo(request_id, call.idempotency_key if call.method != "GET" else None)
        kept = {"method": call.method, "path": call.path, "mark": mark, "request_id": request_id}
        try:
            with self._engine.transaction(info):
                body = pretty(self._result(call, route, ids, params))
                if key:
                    idempotency.keep(self._engine, key, status=200, body=body, **kept)
            return body, 200
        except Undone as undone:
            preview = undone.preview
            with self._engine.transaction():
                expand(self._engine, preview, params.get("expand") or [])
                assert_shape(preview)
            return pretty(preview), 200
        except ApiError as error:
            body = pretty(error.envelope(request_id))
            if key and error.status not in (409, 429):
                with self._engine.transaction():
                    idempotency.keep(self._engine, key, status=error.status, body=body, **kept)
            return body, error.status

    def _result(self, call: Call, route: Route, ids: list[str], params: Params) -> Json:
        reply = route.handler(self._engine, ids, params)
        if isinstance(reply, list):
            chosen, has_more = page(reply, params)
            shown = as_list([show(self._engine, value) for value in chosen], call.path, has_more=has_more)
        else:
            shown = reply if route.shown else show(self._engine, reply)
        expand(self._engine, shown, params.get("expand") or [])
        if isinstance(reply, list):
            for name in PAGING:
                params.get(name)
        unread = next(iter(params.unread()), None)
        if unread is not None:
            raise invalid(
                f"stripe_emulator knows the parameter {unread}, but does not act on it; its README says why.",
                param=unread,
                code="emulator_unsupported",
            )
        assert_shape(shown)
        return shown

    def _headers(self, call: Call, request_id: str) -> dict[str, str]:
        headers = {"Request-Id": request_id, "Stripe-Version": self._engine.api_version}
        if call.idempotency_key:
            headers["Idempotency-Key"] = call.idempotency_key
        return headers


def pretty(value: Json) -> str:
    """JSON as people read it in a terminal; written by compiled code, as the standard library's indents in Python."""
    return to_json(value, indent=2).decode()
