"""The `stripe-emulator` command's options for waiting and for lagging. [README] With `--wait-for-webhooks`, search."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from emulator.tests.support.waiting import eventually


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The command in a process of its own; its url."""
    command = [sys.executable, "-m", "stripe_emulator", "--port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


def settings_of(url: str) -> Any:
    """The settings it runs with, once it answers."""
    answers: list[Any] = []

    def asked() -> bool:
        try:
            answers.append(httpx.get(f"{url}/_emulator/settings", trust_env=False).json())
        except httpx.ConnectError:
            return False
        return True

    eventually(asked)
    return answers[-1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"wait_for_webhooks": False, "search_lag": 0}),
        (["--wait-for-webhooks", "--search-lag", "60"], {"wait_for_webhooks": True, "search_lag": 60}),
    ],
)
def test_drafts_wait_and_search_lags_when_told_to(options: list[str], expected: Any) -> None:
    with serving(*options) as url:
        assert settings_of(url) == expected


def test_a_lag_is_not_negative() -> None:
    command = [sys.executable, "-m", "stripe_emulator", "--search-lag", "-1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "--search-lag" in done.stderr) == (2, True)
