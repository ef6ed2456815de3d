"""Settings that can be changed while the emulator runs; a reset brings back those it was started with."""

from __future__ import annotations

from starlette.requests import Request

from stripe_emulator.control.answers import engine_of, route
from stripe_emulator.control.sent import Sent
from stripe_emulator.engine import Engine
from stripe_emulator.state import Json


async def read_settings(request: Request, sent: Sent) -> Json:
    """As they are."""
    sent.refuse_unread()
    return _shown(engine_of(request))


async def change_settings(request: Request, sent: Sent) -> Json:
    """`wait_for_webhooks`: a draft waits for its event's 2xx; `search_lag`: seconds until search sees what is new."""
    engine = engine_of(request)
    changed: Json = {"wait_for_webhooks": sent.flag("wait_for_webhooks")}
    lag = sent.whole("search_lag", engine.settings.search_lag, least=0)
    if lag != engine.settings.search_lag:
        changed["search_lag"] = lag
    sent.refuse_unread()
    engine.change_settings({name: value for name, value in changed.items() if value is not None})
    return _shown(engine)


def _shown(engine: Engine) -> Json:
    return {name: getattr(engine.settings, name) for name in ("wait_for_webhooks", "search_lag")}


ROUTES = [
    route("GET", "settings", read_settings),
    route("POST", "settings", change_settings),
]
