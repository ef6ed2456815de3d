"""
Chaos: what a Stripe owes an app, delivered one event after another by a schedule or by lot.

Nothing is delivered but by `settle`, and calls are counted as they come, so that a schedule means the same each time.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from stripe_emulator.state import Json
from stripe_emulator.testing.schedule import READ_KINDS, WRITE_KINDS, Schedule, Twist

if TYPE_CHECKING:
    from stripe_emulator.testing.stripe import Stripe

ROUNDS = 8
"""How often an event that the app refuses comes again within one `settle`."""

LOT_CHANCES = {"duplicate": 0.2, "late": 0.2, "lost": 0.1}
LOT_CALLS = 0.15
LOT_FAULTS = 4
"""By lot: how likely each disturbance of a delivery and of a call is, and how many calls fail at most."""


class App(Protocol):
    """
    The app under test while it runs. Two more methods are used when it has them: `settle()` returns when it has
    worked off what it took, `restart()` kills it without warning and starts it on the same data.
    """

    @property
    def webhook_url(self) -> str:
        """Where Stripe's events go."""


class Chaos:
    """
    Disturbs one run of an app. `trail` tells what was done, `met` is the schedule of the disturbances that came about.

    `places` are all twists there was an occasion for. `at_rest` is called whenever the app has taken all there is.
    """

    def __init__(
        self,
        stripe: Stripe,
        schedule: Schedule,
        app: App | None = None,
        *,
        lot: random.Random | None = None,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.trail: list[str] = []
        self.places: list[Twist] = []
        self.refused: dict[str, int] = {}
        self._met: list[Twist] = []
        self._stripe = stripe
        self._schedule = schedule
        self._app = app
        self._lot = lot
        self._at_rest = at_rest
        self._delivering = threading.RLock()
        self._known: set[str] = set()
        self._numbers: Counter[str] = Counter()
        self._again: list[tuple[str, str]] = []
        self._lost: list[tuple[str, str]] = []
        self._tab_closed = False
        self.is_over = False
        stripe.deliveries.pause()
        stripe.calls.watch(self._disturb, meanwhile=self._overtake)
        self._arm_declines()

    @property
    def met(self) -> Schedule:
        """What has been disturbed so far; a schedule of just this disturbs the same."""
        return Schedule(tuple(dict.fromkeys(self._met)))

    def settle(self) -> None:
        """Deliver what there is; what the app refuses comes again some rounds."""
        with self._delivering:
            self._deliver_all()
            if not self._again and not self._lost:
                with self._stripe.calls.undisturbed():
                    self._at_rest()

    def finish(self) -> None:
        """The end of the unkindness: no more faults, everything that is owed comes, then deliveries are as usual."""
        with self._delivering:
            self._deliver_all()
            self._stripe.calls.leave_alone()
            self._stripe.clear_faults(deliveries=False)
            self._deliver_all(last=True)
            self._deliver_all(last=True)
        charges = len(self._stripe.events("charge.succeeded"))
        self.places += [Twist("declined", f"charge#{number + 1}") for number in range(charges)]
        self.refused = dict(Counter(label for label, _ in self._again))
        self.is_over = True
        self._stripe.deliveries.resume()

    def clicks_twice(self) -> bool:
        """Does the person click twice now?"""
        return self._meets("click-twice", self._place("click"))

    def before_paying(self, url: str, visit: Callable[[str], object]) -> None:
        """What the person does before submitting a Checkout page."""
        place = self._place("pay")
        id = urlsplit(url).path.rsplit("/", 1)[-1]
        if self._meets("returns-early", place):
            session = self._stripe.get(id)
            visit(session["success_url"].replace("{CHECKOUT_SESSION_ID}", id))
            self.settle()
        self._tab_closed = self._meets("closes-tab", place)

    def closes_tab(self) -> bool:
        """Does the person, having paid, never come back?"""
        return self._tab_closed

    def _arm_declines(self) -> None:
        before = 0
        for twist in sorted(self._schedule.of_kind("declined"), key=lambda twist: twist.number):
            self._stripe.decline_next(nth=twist.number - before, on_session=True)
            self._note(twist)
            before = twist.number

    def _place(self, name: str) -> str:
        self._numbers[name] += 1
        return f"{name}#{self._numbers[name]}"

    def _meets(self, kind: str, place: str) -> bool:
        self.places.append(Twist(kind, place))
        met = self._schedule.has(kind, place)
        if self._lot is not None and kind in LOT_CHANCES:
            met = self._lot.random() < LOT_CHANCES[kind]
        if met:
            self._note(Twist(kind, place))
        return met

    def _note(self, twist: Twist) -> None:
        self._met.append(twist)
        self.trail.append(str(twist))

    def _disturb(self, place: str) -> str | None:
        kinds = READ_KINDS if place.startswith("GET ") else WRITE_KINDS
        self.places += [Twist(kind, place) for kind in kinds]
        found = next((twist for twist in self._schedule.twists if twist.where == place), None)
        if self._lot is not None and self._lot.random() < LOT_CALLS:
            faults = sum(twist.kind in WRITE_KINDS for twist in self._met)
            found = Twist(self._lot.choice(kinds), place) if faults < LOT_FAULTS else None
        if found is None:
            return None
        self._note(found)
        return found.kind

    def _overtake(self) -> None:
        """A slow answer: what the call brought about is delivered before it, once, unless deliveries are under way."""
        if self._delivering.acquire(blocking=False):
            try:
                for label, id in self._new([]):
                    if self._deliver(label, id) is None:
                        break  # an app that does one thing at a time can't take anything now
            finally:
                self._delivering.release()

    def _deliver_all(self, *, last: bool = False) -> None:
        late: list[tuple[str, str]] = []
        for _ in range(ROUNDS):
            batch, self._again = self._again + self._new(late), []
            if not batch:
                batch, late = late, []
            if not batch and last:
                batch, self._lost = self._lost, []
            for label, id in batch:
                self._deliver(label, id)
            self._app_settles()
            if not (self._again or late or (last and self._lost) or self._owed()):
                break

    def _owed(self) -> list[Json]:
        return [one for one in self._stripe.deliveries("pending")[::-1] if one["id"] not in self._known]

    def _new(self, late: list[tuple[str, str]]) -> list[tuple[str, str]]:
        now = []
        for one in self._owed():
            self._known.add(one["id"])
            entry = (self._place(one["type"]), one["id"])
            if self._meets("lost", entry[0]):
                self._lost.append(entry)
            elif self._meets("late", entry[0]):
                late.append(entry)
            else:
                now.append(entry)
        return now

    def _deliver(self, label: str, id: str) -> int | None:
        status = None
        for _ in range(2 if self._meets("duplicate", label) else 1):
            status = self._stripe.deliveries.attempt(id)["status"]
            self.trail.append(f"  {label} -> {status or 'no answer'}")
        if status is None or not 200 <= status < 300:
            self._again.append((label, id))
        restart = getattr(self._app, "restart", None)
        if restart is not None and self._meets("restart", label):
            restart()
        return status

    def _app_settles(self) -> None:
        settle = getattr(self._app, "settle", None)
        if settle is not None:
            settle()
