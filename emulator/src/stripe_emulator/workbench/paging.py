"""Long lists, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

from stripe_emulator.pages.notices import query_without_notice

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Portion(Generic[T]):
    """One page of a list, newest first; `newer` and `older` are the query strings of its neighbours, None at an end."""

    items: list[T]
    newer: str | None
    older: str | None


def portion(request: Request, found: Iterable[T], size: int) -> Portion[T]:
    """The page that `page` in the query asks for; everything else in the query stays as it is."""
    number = _number(request.query_params.get("page"))
    start = (number - 1) * size
    chosen = list(islice(found, start, start + size + 1))
    return Portion(
        chosen[:size],
        newer=_query(request, number - 1) if number > 1 else None,
        older=_query(request, number + 1) if len(chosen) > size else None,
    )


def _query(request: Request, number: int) -> str:
    return urlencode({**query_without_notice(request), "page": number})


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and 0 < int(text) < 100_000 else 1
