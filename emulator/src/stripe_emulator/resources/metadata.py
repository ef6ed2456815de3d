"""Metadata: merged key by key; an empty value drops its key, an empty map drops all."""

from __future__ import annotations

from typing import Any

from stripe_emulator.validation.params import Params


def merged(current: dict[str, Any], params: Params) -> dict[str, str]:
    """What metadata becomes when a request's `metadata` is laid over it."""
    sent = params.get("metadata")
    if sent is None:
        return dict(current)
    if sent == "":
        return {}
    both = {**current, **sent}
    return {key: value for key, value in both.items() if value != ""}
