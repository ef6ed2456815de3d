"""The demo as a user starts it: `python -m saas.demo` with ports and data of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.serving import free_port
from tests.support.waiting import eventually

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class RunningDemo:
    """One demo. `start()` may be called again after it has ended: the data stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.emulator_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = folder / "data"
        self._output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        removed = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "DATABASE_URL", "APP_URL")
        self.environment = {name: value for name, value in os.environ.items() if name not in removed} | {
            "PORT": str(self.port),
            "EMULATOR_PORT": str(self.emulator_port),
            "DEMO_DATA": str(self.data),
        }

    @property
    def output(self) -> str:
        """What it has printed since it was last started."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    @property
    def database(self) -> Path:
        """The app's database file."""
        return self.data / "app.db"

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, without waiting for anything."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saas.demo"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._process

    def start(self) -> None:
        """Start it, and wait until it greets and answers."""
        process = self.launch()

        def is_up() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the demo ended with exit code {process.returncode}:\n{self.output}")
            return "Press Ctrl-C to stop" in self.output and self.answers()

        eventually(is_up, _START_SECONDS, every=0.1)

    def answers(self) -> bool:
        """Does the app answer?"""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def children(self) -> dict[str, int]:
        """The processes it runs: `emulator`, `app` and `worker`, with their process ids."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return {_role(int(pid)): int(pid) for pid in listed}

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as a user does; the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(_STOP_SECONDS)

    def launcher_ends(self) -> int:
        """Wait until it ends by itself; the exit code."""
        assert self._process is not None
        return self._process.wait(_STOP_SECONDS)

    def kill_everything(self) -> None:
        """A power cut: every process ends now, none may clean up."""
        if self._process is None or self._process.poll() is not None:
            return
        children = self.children()
        self._process.kill()
        self._process.wait()
        for pid in children.values():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(is_running(pid) for pid in children.values()))


def is_running(pid: int) -> bool:
    """Is there such a process, other than as a zombie that nobody has waited for?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _role(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if any(part.endswith("stripe-emulator") for part in command):
        return "emulator"
    return "worker" if "worker" in command else "app"
