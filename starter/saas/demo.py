"""
`python -m saas.demo`: the whole system on this machine, with one command.

Starts a Stripe emulator, the database (SQLite), this app and paidup's worker, and keeps them together: when one stops,
all stop. With STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET in the environment it uses real Stripe instead. The app does
not know the difference; only its environment does.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from saas import accounts
from saas.accounts import AccountError
from saas.database import Database

STARTER = Path(__file__).parent.parent
DEMO_EMAIL = "demo@example.com"
DEMO_PASSWORD = "paidup-demo"

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_HELP = """\
environment:
  PORT                    port of the app (default 8000)
  EMULATOR_PORT           port of the Stripe emulator (default 8100)
  DEMO_DATA               directory that keeps the data between runs (default .demo); delete it to start over
  STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET
                          use real Stripe (a test key, sk_test_…) instead of the emulator
  DATABASE_URL, APP_URL   with real Stripe: another database, another public address
"""

_CARDS = """\
  4242 4242 4242 4242   succeeds
  4000 0000 0000 0002   is declined
  4000 0025 0000 3155   asks for 3D Secure
  4000 0000 0000 0341   can be saved in the portal, then fails at the next payment
  any future date, any CVC"""


class DemoError(Exception):
    """Why the demo can't start or go on, in words for whoever typed the command."""


class Stopped(BaseException):
    """Ctrl-C, or a signal that means the same."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will run, where, and with which environment."""

    port: int
    emulator_port: int
    data: Path
    environment: dict[str, str]
    uses_emulator: bool

    @property
    def address(self) -> str:
        """Where the app answers on this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def emulator_address(self) -> str:
        """Where the emulator answers."""
        return f"http://127.0.0.1:{self.emulator_port}"

    @property
    def webhook_address(self) -> str:
        """Where Stripe's events go."""
        return f"{self.address}/billing/webhook"

    @property
    def has_live_key(self) -> bool:
        """Would real money move?"""
        return "_live_" in self.environment["STRIPE_SECRET_KEY"]


class Processes:
    """The demo's processes and their logs. Each has a session of its own, so that only the launcher hears Ctrl-C."""

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self._logs = logs
        self._environment = environment
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *command: str) -> None:
        """Start one, in the background."""
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=STARTER,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append((name, process))

    def run(self, name: str, *command: str) -> None:
        """Run a step to its end. Raises DemoError with its last words when it fails."""
        self.start(name, *command)
        step, process = self._running[-1]
        if process.wait() != 0:
            raise DemoError(self._last_words(step, process))
        self._running.pop()

    def wait_for(self, url: str) -> None:
        """Wait until a process answers. Raises DemoError when any of them stops, or it takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if _answers(url):
                return
            time.sleep(0.1)
        raise DemoError(f"{url} did not answer within {_START_SECONDS:.0f} seconds; see {self._logs}")

    def check(self) -> None:
        """Raises DemoError with the last words of a process that has stopped."""
        for name, process in self._running:
            if process.poll() is not None:
                raise DemoError(self._last_words(name, process))

    def stop(self) -> None:
        """Stop all of them, the last first; whoever does not listen is killed."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for _, process in reversed(self._running):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.log"

    def _last_words(self, name: str, process: subprocess.Popen[bytes]) -> str:
        log = self._log(name)
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        words = "\n".join(f"  | {line}" for line in lines) or "  | (it said nothing)"
        return f"{name} stopped unexpectedly (exit code {process.returncode}). The end of {log}:\n{words}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until Ctrl-C. 0 after Ctrl-C, 1 when something is wrong."""
    argparse.ArgumentParser(
        prog="python -m saas.demo",
        description="Run the whole app on this machine: Stripe emulator, database, app and worker.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)
    for each in _SIGNALS:
        signal.signal(each, _stop)
    try:
        return _run(_plan(dict(os.environ)))
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except Stopped:
        return 0


def _run(plan: Plan) -> int:
    _check_port(plan.port, "the app", "PORT")
    if plan.uses_emulator:
        _check_port(plan.emulator_port, "the Stripe emulator", "EMULATOR_PORT")
    logs = plan.data / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    processes = Processes(logs, plan.environment)
    try:
        _start(plan, processes)
        _greet(plan)
        while True:
            processes.check()
            time.sleep(0.25)
    finally:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not leave anything running
        if sys.exc_info()[0] is Stopped:
            print("\nStopping …", flush=True)
        processes.stop()


def _start(plan: Plan, processes: Processes) -> None:
    if plan.uses_emulator:
        _say("Starting the Stripe emulator …")
        processes.start(
            "emulator",
            *(_tool("stripe-emulator"), "--port", str(plan.emulator_port), "--state", str(plan.data / "stripe.db")),
            *("--forward-to", plan.webhook_address, "--webhook-secret", plan.environment["STRIPE_WEBHOOK_SECRET"]),
        )
        processes.wait_for(f"{plan.emulator_address}/_emulator/health")
    _say("Preparing the database and the plans …")
    processes.run("database", _tool("paidup"), "db", "upgrade")
    database = Database(plan.environment["DATABASE_URL"])
    database.create_tables()
    if not plan.has_live_key:
        _ensure_demo_user(database)
    database.engine.dispose()
    processes.run("catalog", _tool("paidup"), "catalog", "push")
    _say("Starting the app and the worker …")
    processes.start("app", sys.executable, "-m", "saas")
    processes.start("worker", _tool("paidup"), "worker", "--app", "saas.billing:billing")
    processes.wait_for(f"{plan.address}/healthz")


def _greet(plan: Plan) -> None:
    lines = ["", f"  Open  {plan.environment['APP_URL']}", ""]
    if plan.has_live_key:
        lines += ["  LIVE MODE: this uses your live Stripe key. Cards are really charged.", ""]
    else:
        lines += [f"  Sign in as  {DEMO_EMAIL}", f"  Password    {DEMO_PASSWORD}", "", "Test cards", _CARDS, ""]
    if plan.uses_emulator:
        lines.append(f"Stripe is emulated at {plan.emulator_address}; no real money moves.")
    else:
        lines.append("Real Stripe is used. Have its events forwarded, for example with the Stripe CLI:")
        lines.append(f"  stripe listen --forward-to {plan.webhook_address}")
    lines += [f"Data and logs are kept in {plan.data}. Press Ctrl-C to stop.", ""]
    print("\n".join(lines), flush=True)


def _plan(environment: dict[str, str]) -> Plan:
    port = _port(environment, "PORT", 8000)
    emulator_port = _port(environment, "EMULATOR_PORT", 8100)
    if port == emulator_port:
        raise DemoError(f"PORT and EMULATOR_PORT are both {port}; choose two different ones.")
    data = Path(environment.get("DEMO_DATA") or ".demo").resolve()
    data.mkdir(parents=True, exist_ok=True)
    keys = [name for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET") if environment.get(name)]
    if len(keys) == 1:
        raise DemoError(
            f"{keys[0]} is set alone. For real Stripe set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET; "
            "for the emulator set neither."
        )
    address = f"http://127.0.0.1:{port}"
    environment |= {"PORT": str(port), "HOST": "127.0.0.1", "PAIDUP_WORKER": "outside", "PYTHONUNBUFFERED": "1"}
    environment.setdefault("PAIDUP_PLANS", str(STARTER / "plans.toml"))
    sqlite = f"sqlite:///{data / 'app.db'}"
    if keys:
        environment.pop("TEST_CLOCK_URL", None)
        environment.setdefault("APP_URL", address)
        environment.setdefault("DATABASE_URL", sqlite)
        return Plan(port, emulator_port, data, environment, uses_emulator=False)
    emulator = f"http://127.0.0.1:{emulator_port}"
    environment |= {
        "STRIPE_SECRET_KEY": "sk_test_demo",
        "STRIPE_WEBHOOK_SECRET": _webhook_secret(data),
        "STRIPE_API_BASE": emulator,
        "TEST_CLOCK_URL": f"{emulator}/_emulator",
        "APP_URL": address,
        "DATABASE_URL": sqlite,
    }
    return Plan(port, emulator_port, data, environment, uses_emulator=True)


def _port(environment: dict[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise DemoError(f"{name}={text} is not a port; choose a number from 1 to 65535.")
    return int(text)


def _webhook_secret(data: Path) -> str:
    """The same in every run: the emulator keeps delivering what an earlier run left undelivered."""
    kept = data / "webhook_secret"
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(f"whsec_demo_{secrets.token_hex(16)}")
    return kept.read_text()


def _check_port(port: int, what: str, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"Port {port}, meant for {what}, can't be used: {error.strerror}.\n"
                f"Stop whatever uses it, or choose another port: {name}={port + 1} make run"
            ) from error


def _ensure_demo_user(database: Database) -> None:
    with suppress(AccountError):  # it is there from an earlier run
        accounts.sign_up(database, email=DEMO_EMAIL, password=DEMO_PASSWORD, name="Demo User")


def _tool(name: str) -> str:
    """A command that was installed beside this Python."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise DemoError(f"{path} is not installed; `make run` installs everything.")
    return str(path)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say(text: str) -> None:
    print(text, flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
