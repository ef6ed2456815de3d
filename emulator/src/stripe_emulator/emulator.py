"""The emulator in a Python process: started, steered and asked from tests."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import httpx
import uvicorn
from starlette.types import ASGIApp

from stripe_emulator.deliveries import Deliveries
from stripe_emulator.engine import Engine
from stripe_emulator.rate_limits import described
from stripe_emulator.server import build_app
from stripe_emulator.serving import run_to_its_end, server_of
from stripe_emulator.settings import RateLimits, Settings
from stripe_emulator.state import Json, Store

HOST = "127.0.0.1"


class Emulator:
    """
    A Stripe at `url`, served from a thread while the `with` block runs.

    `port=0` takes a free one; `state` is a file that outlives the process, None keeps everything in memory.
    Objects that do not fit the SDK's types are failures, which leaving the block raises as AssertionError.

    `seed`: the same calls give the same ids, secrets and times in every run. The clock then stands at 1 January 2027
    until it is put forward. (The SDK draws its own idempotency keys, and events name them.)
    """

    def __init__(
        self,
        port: int = 0,
        state: str | Path | None = None,
        *,
        settings: Settings | None = None,
        seed: int | None = None,
    ) -> None:
        self._port = port
        self._state = state
        self._settings = settings or Settings()
        self._seed = seed
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._client: httpx.Client | None = None
        self.url = ""
        self.deliveries = Deliveries(self)

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failures = self.shape_failures
        self.stop()
        if failures and type is None:
            raise AssertionError(f"the emulator built objects the SDK does not know: {failures}")

    def start(self) -> None:
        """Serve; returns when it answers."""
        store = Store(self._state)
        # The protocol is named, because asyncio turns Nagle's algorithm off only then; it costs 40 ms an answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self._port))
        self.url = f"http://{HOST}:{listener.getsockname()[1]}"
        engine = Engine(store, settings=self._settings, seed=self._seed)
        engine.base_url = self.url
        self._server = server_of(self._app(engine))
        self._thread = threading.Thread(
            target=self._serve, args=(self._server, listener, store), name="stripe-emulator", daemon=True
        )
        self._thread.start()
        self._client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the emulator did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop serving. The state file keeps what there is."""
        if self._server is None or self._thread is None or self._client is None:
            return
        self._client.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._server, self._thread, self._client = None, None, None

    @property
    def now(self) -> datetime:
        """The global clock's time, aware UTC."""
        return datetime.fromtimestamp(self._get("/_emulator/clock")["now"], UTC)

    @property
    def shape_failures(self) -> list[str]:
        """What was wrong with objects the emulator built; empty, or the emulator has a defect."""
        failures: list[str] = self._get("/_emulator/health")["shape_failures"]
        return failures

    def add_endpoint(self, url: str, secret: str | None = None, enabled_events: Sequence[str] = ("*",)) -> str:
        """Deliver events to a URL; returns the signing secret. An endpoint at the same URL is replaced."""
        sent = {"url": url, "secret": secret, "enabled_events": list(enabled_events)}
        answer: str = self._post("/_emulator/endpoints", sent)["secret"]
        return answer

    def roll_secret(self, endpoint: str, secret: str | None = None, *, expires_in: int = 0) -> str:
        """
        Give an endpoint (URL or id) a new signing secret, which is returned.

        The one it had signs as well for `expires_in` seconds of the global clock, at most a day.
        """
        sent = {"secret": secret, "expires_in": expires_in}
        rolled: str = self._post(f"/_emulator/endpoints/{quote(endpoint, safe='')}/roll", sent)["secret"]
        return rolled

    def advance(
        self,
        *,
        days: float | None = None,
        seconds: int | None = None,
        to: datetime | str | None = None,
        customer: str | None = None,
    ) -> datetime:
        """
        Put the global clock forward, doing all that falls due on the way; returns the new time.

        `to` is an aware datetime, or `renewal`, `retry`, `trial_end` (of `customer`, or whoever's comes first).
        """
        sent: dict[str, Any] = {"customer": customer}
        if days is not None:
            sent["days"] = days
        if seconds is not None:
            sent["seconds"] = seconds
        if to is not None:
            sent["to"] = int(to.timestamp()) if isinstance(to, datetime) else to
        return datetime.fromtimestamp(self._post("/_emulator/clock/advance", sent)["now"], UTC)

    def wait_for_deliveries(self, timeout: float | timedelta = 10.0, *, first_try: bool = False) -> None:
        """
        Wait until nothing is owed to any endpoint; TimeoutError when something still is.

        `first_try`: be content when each delivery has been tried once.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = time.monotonic() + seconds
        while True:
            answer = self._get("/_emulator/settled")
            if answer["settled"] and (first_try or answer["owed"] == 0):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{answer['owed']} deliveries are still owed after {seconds} s")
            time.sleep(0.01)

    def reset(self) -> None:
        """Forget everything: objects, events, endpoints, faults, the clock's offset."""
        self._post("/_emulator/reset", {})

    def snapshot(self, name: str | None = None) -> str:
        """Keep everything as it is, to go back to with `restore`; returns its name, which is yours if given."""
        kept: str = self._post("/_emulator/snapshots", {"name": name})["name"]
        return kept

    def restore(self, snapshot: str) -> datetime:
        """
        Go back to a snapshot, as often as wanted; returns the time, which is again what it was then.

        Webhooks on their way are broken off. What the app under test keeps does not go back.
        """
        return datetime.fromtimestamp(self._post(f"/_emulator/snapshots/{quote(snapshot)}/restore", {})["now"], UTC)

    def snapshots(self) -> list[Json]:
        """Every snapshot, oldest first: `name`, `now`, `taken`, how many `objects`."""
        found: list[Json] = self._get("/_emulator/snapshots")
        return found

    def forget_snapshot(self, snapshot: str) -> None:
        """Give its memory back."""
        self._delete(f"/_emulator/snapshots/{quote(snapshot)}")

    def save(self, path: str | Path, snapshot: str | None = None) -> None:
        """Write a snapshot to a file, of now if none is named."""
        name = snapshot or self.snapshot()
        document = self._get(f"/_emulator/snapshots/{quote(name)}")
        Path(path).write_text(json.dumps(document, indent=1), encoding="utf-8")
        if snapshot is None:
            self.forget_snapshot(name)

    def load(self, path: str | Path) -> datetime:
        """Go to what `save` wrote; returns the time, which is again what it was then."""
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        return self.restore(self._post("/_emulator/snapshots", {"snapshot": document})["name"])

    def configure(self, *, wait_for_webhooks: bool | None = None, search_lag: int | None = None) -> None:
        """Change settings while it runs, until the next reset; see `Settings` for what they mean."""
        self._post("/_emulator/settings", {"wait_for_webhooks": wait_for_webhooks, "search_lag": search_lag})

    def get(self, id: str) -> Json:
        """Any object by id; KeyError when there is none."""
        assert self._client is not None
        response = self._client.get(f"/_emulator/objects/{id}")
        if response.status_code == 404:
            raise KeyError(id)
        found: Json = response.raise_for_status().json()
        return found

    def events(self, type: str | None = None) -> list[Json]:
        """Every event so far, oldest first; of one type if named."""
        found: list[Json] = self._get("/_emulator/events", {"type": type} if type else {})
        return found

    def fail_next(
        self,
        path_glob: str,
        status: int = 500,
        times: int = 1,
        after_work: bool = False,
        *,
        method: str | None = None,
        nth: int = 1,
        timeout: float | None = None,
        code: Literal["rate_limit", "lock_timeout"] | None = None,
        reason: str | None = None,
        should_retry: bool | None = None,
        kept: bool = False,
    ) -> None:
        """
        Let API calls to a path fail, from the `nth` on, `times` of them.

        `after_work`: the work is done, its answer lost. `kept`: the work had begun and failed, so that this is what the
        call's idempotency key is answered with from then on. `timeout`: hold the call so long, then cut the connection
        off.
        A 429 has a `code`, by default `rate_limit`, and that a `reason`: `global-rate` (the default), `endpoint-rate`,
        `global-concurrency`, `endpoint-concurrency`, `resource-specific`. The SDK repeats a `lock_timeout` and not a
        `rate_limit`, unless `should_retry` has Stripe say otherwise.
        """
        status_or_cut = {"status": status} if timeout is None else {"timeout": timeout}
        limit = {"code": code, "reason": reason, "should_retry": should_retry, "kept": kept}
        self._add_fault(path_glob, method, nth, times, {**status_or_cut, **limit, "after_work": after_work})

    def slow_next(
        self, path_glob: str, seconds: float, *, method: str | None = None, nth: int = 1, times: int = 1
    ) -> None:
        """Let API calls to a path do their work at once and answer so many seconds later."""
        self._add_fault(path_glob, method, nth, times, {"slow": seconds})

    def cut_next(
        self, path_glob: str, *, after_work: bool = False, method: str | None = None, nth: int = 1, times: int = 1
    ) -> None:
        """Cut the connection of API calls to a path off, before their work or after it."""
        self._add_fault(path_glob, method, nth, times, {"timeout": 0, "after_work": after_work})

    def limit_rates(self, mode: Literal["live", "sandbox", "off"] | RateLimits) -> None:
        """Have Stripe's rate limits, those of live mode or of a sandbox, or one's own."""
        self._post("/_emulator/rate-limits", described(mode) if isinstance(mode, RateLimits) else {"mode": mode})

    def decline_next(
        self, times: int = 1, *, nth: int = 1, code: str = "generic_decline", on_session: bool = False
    ) -> None:
        """
        Let charges of saved cards be declined, from the `nth` on, with a code of https://docs.stripe.com/declines/codes

        `on_session`: charges whose payer is there count too: the Checkout page, an update of a subscription.
        """
        self._post(
            "/_emulator/faults/decline-next", {"times": times, "nth": nth, "code": code, "on_session": on_session}
        )

    def clear_faults(self, *, deliveries: bool = True) -> None:
        """No more faults and declines, nor disturbed deliveries unless `deliveries` is False."""
        self._delete("/_emulator/faults", {} if deliveries else {"deliveries": "keep"})

    def _add_fault(self, path: str, method: str | None, nth: int, times: int, asked: dict[str, Any]) -> None:
        self._post("/_emulator/faults", {"path": path, "method": method, "nth": nth, "times": times, **asked})

    def _app(self, engine: Engine) -> ASGIApp:
        return build_app(engine)

    @staticmethod
    def _serve(server: uvicorn.Server, listener: socket.socket, store: Store) -> None:
        try:
            run_to_its_end(server, listener)
        finally:
            listener.close()
            store.close()

    def _get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        assert self._client is not None, "the emulator is not running"
        return _answer(self._client.get(path, params=params or {}))

    def _post(self, path: str, sent: dict[str, Any]) -> Any:
        assert self._client is not None, "the emulator is not running"
        given = {key: value for key, value in sent.items() if value is not None}
        return _answer(self._client.post(path, json=given))

    def _delete(self, path: str, params: dict[str, Any] | None = None) -> Any:
        assert self._client is not None, "the emulator is not running"
        return _answer(self._client.delete(path, params=params or {}))


def _answer(response: httpx.Response) -> Any:
    if response.is_client_error:
        raise ValueError(response.json()["error"]["message"])
    return response.raise_for_status().json()
