"""How webhooks are delivered, steered from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stripe_emulator.state import Json

if TYPE_CHECKING:
    from stripe_emulator.emulator import Emulator

Action = Literal["duplicate", "delay", "reorder", "drop", "lose", "sign", "ignore"]


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

    def rule(
        self,
        action: Action,
        type: str = "*",
        *,
        endpoint: str | None = None,
        nth: int = 1,
        times: int | Literal["all"] = 1,
        copies: int | None = None,
        seconds: float | None = None,
        until: str | None = None,
        behind: int | None = None,
        tries: int | None = None,
        secret: str | None = None,
    ) -> str:
        """
        Let single deliveries go otherwise; returns the rule's id.

        Picked are those owed from now on of a `type` (a glob as `invoice.*`), to `endpoint` (URL or id; None is any),
        from the `nth` on, `times` of them. The action:

        `duplicate`: sent `copies` times (2). `delay`: sent `seconds` later, or when one of the type `until` has been
        delivered there, whichever comes first. `reorder`: sent behind the next `behind` (1) that are delivered there,
        or after `seconds` (2) if there are not so many. `drop`: never sent. `lose`: the first `tries` (1) get lost.
        `sign`: the first `tries` (1) are signed with `secret`: `wrong`, `old` (the one before the last roll) or one of
        yours. `ignore`: sent, but the answers to the first `tries` (1) count as timeouts, so it comes again.
        """
        asked = {"copies": copies, "seconds": seconds, "until": until, "behind": behind, "tries": tries}
        picked = {"type": type, "endpoint": endpoint, "nth": nth, "times": times}
        sent = {"action": action, **picked, **asked, "secret": secret}
        made: str = self._emulator._post("/_emulator/deliveries/rules", sent)["id"]
        return made

    def rules(self) -> list[Json]:
        """The rules that have deliveries still to pick, oldest first."""
        found: list[Json] = self._emulator._get("/_emulator/deliveries/rules")
        return found

    def remove_rule(self, rule_id: str) -> None:
        """One rule less; what it has picked stays so."""
        self._emulator._delete(f"/_emulator/deliveries/rules/{rule_id}")

    def clear_rules(self) -> None:
        """No more rules; what they hold back is let go."""
        self._emulator._delete("/_emulator/deliveries/rules")

    def resend(self, delivery_id: str) -> None:
        """Send one again."""
        self._emulator._post(f"/_emulator/deliveries/{delivery_id}/resend", {})

    def attempt(self, delivery_id: str) -> Json:
        """Try one at once, even while everything is held back, and wait for it: `status`, `error`, `seconds`."""
        made: Json = self._emulator._post(f"/_emulator/deliveries/{delivery_id}/attempt", {})
        return made

    def _set(self, mode: str) -> None:
        self._emulator._post(f"/_emulator/deliveries/{mode}", {})
