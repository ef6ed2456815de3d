"""The API version paidup asks in: answers have one shape, whatever the version of the account or an endpoint is."""

from __future__ import annotations

API_VERSION = "2026-10-28.endive"
"""Of the SDK's release; a later one of the same name only adds to it."""
