"""The starter as its users run it: a process of its own, configured by its environment alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from paidup import Billing, Settings
from saas.database import Database
from stripe_emulator import Emulator
from tests.support.serving import free_port
from tests.support.waiting import eventually

STARTER = Path(__file__).parents[2] / "starter"
PLANS = STARTER / "plans.toml"
SECRET_KEY = "sk_test_starter"
WEBHOOK_SECRET = "whsec_starter"
_PATIENCE_SECONDS = 30.0


class StarterApp:
    """
    The app with the worker inside, on an SQLite file, its Stripe the given emulator.

    `start()` and `stop()` may be called again and again, on the same data. `environment` may be changed in between.
    """

    def __init__(self, stripe: Emulator, folder: Path) -> None:
        self.stripe = stripe
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = f"sqlite:///{folder / 'app.db'}"
        self._log = folder / "app.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "APP_URL": self.url,
            "DATABASE_URL": self.database_url,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": stripe.url,
            "TEST_CLOCK_URL": f"{stripe.url}/_emulator",
            "PAIDUP_PLANS": str(PLANS),
            "PAIDUP_WORKER": "inside",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def log(self) -> str:
        """What the app wrote so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def billing(self) -> Billing:
        """paidup as the app has it, in this process; close it."""
        settings = Settings.from_env(
            secret_key=SECRET_KEY,
            webhook_secrets=WEBHOOK_SECRET,
            api_base=self.stripe.url,
            database_url=self.database_url,
            app_url=self.url,
            plans_file=self.environment["PAIDUP_PLANS"],
        )
        return Billing(settings)

    def prepare(self) -> None:
        """Create the tables and the plans, and have the emulator deliver here."""
        billing = self.billing()
        billing.upgrade_database()
        billing.push_catalog()
        billing.close()
        database = Database(self.database_url)
        database.create_tables()
        database.engine.dispose()
        self.stripe.add_endpoint(f"{self.url}/billing/webhook", secret=WEBHOOK_SECRET)

    def start(self) -> None:
        """Start the app and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saas"], env=self.environment, cwd=STARTER, stdout=log, stderr=log
            )
        eventually(self._answers, _PATIENCE_SECONDS)

    def stop(self, *, abruptly: bool = False) -> None:
        """Stop the app; `abruptly` kills it, as a power cut would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if abruptly else signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the app did not stop when asked to:\n{self.log}") from None
        finally:
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"the app stopped with exit code {self._process.returncode}:\n{self.log}")
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
