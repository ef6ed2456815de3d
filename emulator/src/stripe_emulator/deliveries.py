"""How webhooks are delivered, steered from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.emulator import Emulator


class Deliveries:
    """How webhooks are delivered, for tests that want them otherwise."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def __call__(self, status: str | None = None) -> list[Json]:
        """The delivery log, newest first; of one status (pending, delivered, failed, dropped) if named."""
        found: list[Json] = self._emulator._get("/_emulator/deliveries", {"status": status} if status else {})
        return found

    def pause(self) -> None:
        """Hold everything back."""
        self._set("pause")

    def resume(self) -> None:
        """Deliver as usual, what was held back too."""
        self._set("resume")

    def duplicate(self) -> None:
        """Deliver everything twice."""
        self._set("duplicate")

    def shuffle(self) -> None:
        """Deliver in any order."""
        self._set("shuffle")

    def drop(self) -> None:
        """Lose everything; it is never delivered."""
        self._set("drop")

    def resend(self, delivery_id: str) -> None:
        """Send one again."""
        self._emulator._post(f"/_emulator/deliveries/{delivery_id}/resend", {})

    def attempt(self, delivery_id: str) -> Json:
        """Try one at once, even while everything is held back, and wait for it: `status`, `error`, `seconds`."""
        made: Json = self._emulator._post(f"/_emulator/deliveries/{delivery_id}/attempt", {})
        return made

    def _set(self, mode: str) -> None:
        self._emulator._post(f"/_emulator/deliveries/{mode}", {})
