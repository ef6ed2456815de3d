"""Schedules: printed, read back, and the order in which they are tried."""

from __future__ import annotations

import itertools
import random

import pytest

from stripe_emulator.testing import Schedule, Twist
from stripe_emulator.testing.search import alone, together

TWISTS = [Twist(kind, f"customer.created#{number}") for kind in ("late", "duplicate", "lost") for number in (1, 2, 3)]


def test_a_printed_schedule_is_read_back_and_nonsense_is_not() -> None:
    text = "duplicate customer.created#1; lost-answer POST /v1/customers#2"
    assert str(Schedule.parse(text)) == text
    with pytest.raises(ValueError, match="is no twist"):
        Schedule.parse("explode customer.created#1")
    with pytest.raises(ValueError, match="is no twist"):
        Schedule.parse("duplicate customer.created")


def test_every_twist_is_tried_alone_and_every_kind_before_any_twice() -> None:
    schedules = alone([*TWISTS, *TWISTS], random.Random(0))
    assert {schedule.twists[0] for schedule in schedules} == set(TWISTS)
    assert len(schedules) == len(TWISTS)
    assert [schedule.twists[0].kind for schedule in schedules] == ["duplicate", "late", "lost"] * 3


def test_places_that_are_few_come_before_those_that_are_many() -> None:
    calls = [Twist(kind, f"POST /v1/customers#{number}") for number in (1, 2) for kind in ("lost-answer", "429")]
    kinds = [schedule.twists[0].kind for schedule in alone([*TWISTS, *calls], random.Random(0))]
    assert kinds[:6] == ["duplicate", "lost-answer", "late", "lost", "429", "lost-answer"]


def test_several_together_are_distinct_and_at_different_places() -> None:
    some = list(itertools.islice(together(TWISTS, random.Random(0)), 10))
    assert len({frozenset(schedule.twists) for schedule in some}) == 10
    for schedule in some:
        places = [twist.where for twist in schedule.twists]
        assert len(places) == len(set(places)) > 1


def test_a_seed_tries_the_same_again_and_another_seed_something_else() -> None:
    def tried(seed: int) -> list[Schedule]:
        chance = random.Random(seed)
        return [*alone(TWISTS, chance), *itertools.islice(together(TWISTS, chance), 10)]

    assert tried(1) == tried(1) != tried(2)


def test_the_end_of_few_twists_is_the_end_of_their_mixtures() -> None:
    assert list(together([], random.Random(0))) == []
    assert list(together(TWISTS[:1], random.Random(0))) == []
