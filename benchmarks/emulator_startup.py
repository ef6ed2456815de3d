"""How long the emulator takes from its command to its first answer, beside a bare server's start."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.measuring import Row, at_most, in_turn, on_one_core, options, report
from benchmarks.serving import bare, emulator
from stripe_emulator import Emulator


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    on_one_core()
    command = Row("the command", "s", *_beside_a_bare_server(emulator, chosen.rounds), at_most(1))
    in_tests = Row("Emulator() in a test", "s", *_beside_a_bare_server(Emulator, chosen.rounds), at_most(0.1))
    report("Start to first answer", [command, in_tests], chosen)


def _beside_a_bare_server(
    server: Callable[[], AbstractContextManager[object]], rounds: int
) -> tuple[list[float], list[float]]:
    return in_turn(_starting(server), _starting(bare), rounds=rounds)


def _starting(server: Callable[[], AbstractContextManager[object]]) -> Callable[[], float]:
    def start() -> float:
        begun = time.perf_counter()
        with server():
            return time.perf_counter() - begun

    return start


if __name__ == "__main__":
    main()
