"""`make run`: one command starts everything, says what is wrong, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running_demo import RunningDemo, is_running
from tests.support.waiting import eventually


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    running = RunningDemo(tmp_path)
    try:
        yield running
    finally:
        running.kill_everything()


@pytest.mark.timeout(240)
def test_it_greets_and_stops_cleanly_with_ctrl_c(demo: RunningDemo) -> None:
    demo.start()
    for fact in (demo.url, "demo@example.com", "4242 4242 4242 4242"):
        assert fact in demo.output
    children = demo.children()
    assert set(children) == {"emulator", "app", "worker"}
    assert demo.stop(signal.SIGINT) == 0
    assert not any(is_running(pid) for pid in children.values())
    assert "Traceback" not in demo.output


@pytest.mark.timeout(240)
def test_its_data_and_the_demo_user_are_there_in_the_next_run(demo: RunningDemo) -> None:
    demo.start()
    with httpx.Client(base_url=demo.url) as client:
        _sign_in(client)
        assert client.post("/projects", data={"name": "Kept"}).status_code == 303
    assert demo.stop(signal.SIGTERM) == 0
    demo.start()
    with httpx.Client(base_url=demo.url) as client:
        _sign_in(client)
        assert "Kept" in client.get("/dashboard").text


@pytest.mark.timeout(240)
def test_a_process_that_dies_takes_all_down_and_its_last_words_are_shown(demo: RunningDemo) -> None:
    demo.start()
    children = demo.children()
    os.kill(children["app"], signal.SIGKILL)
    assert demo.launcher_ends() == 1
    assert "app stopped unexpectedly" in demo.output
    assert "app.log" in demo.output
    eventually(lambda: not any(is_running(pid) for pid in children.values()))


@pytest.mark.parametrize("name", ["PORT", "EMULATOR_PORT"])
def test_a_taken_port_is_named_with_the_remedy(demo: RunningDemo, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo.environment[name] = str(port)
        demo.launch()
        assert demo.launcher_ends() == 1
    assert f"Port {port}" in demo.output
    assert f"{name}={port + 1} make run" in demo.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"PORT": "nine"}, "PORT=nine is not a port"),
        ({"PORT": "8123", "EMULATOR_PORT": "8123"}, "choose two different ones"),
        ({"STRIPE_SECRET_KEY": "sk_test_1"}, "STRIPE_SECRET_KEY is set alone"),
    ],
)
def test_a_contradictory_environment_is_explained(demo: RunningDemo, changes: dict[str, str], said: str) -> None:
    demo.environment |= changes
    demo.launch()
    assert demo.launcher_ends() == 1
    assert said in demo.output
    assert "Traceback" not in demo.output


def test_help_names_the_environment_variables() -> None:
    command = [sys.executable, "-m", "saas.demo", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("PORT", "EMULATOR_PORT", "DEMO_DATA", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        assert name in said


def _sign_in(client: httpx.Client) -> None:
    answer = client.post("/sign-in", data={"email": "demo@example.com", "password": "paidup-demo"})
    assert answer.status_code == 303, answer.text
