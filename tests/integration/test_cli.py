"""The paidup command, as an operator and a script use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import typer.core
import typer.main
from sqlalchemy import text

from paidup import Billing
from paidup.cli.main import app, run
from paidup.database.engine import Database
from stripe_emulator import Emulator
from tests.conftest import PLANS, SECRET_KEY, WEBHOOK_SECRET
from tests.support.deliveries import deliver
from tests.support.paying import pay
from tests.support.waiting import eventually

OWNER = "user:1"
OURS = ("STRIPE_", "PAIDUP_", "DATABASE_URL", "APP_URL")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Paidup = Callable[..., Said]


@pytest.fixture(autouse=True)
def _only_our_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def paidup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paidup:
    """Runs the command in this process."""

    def command(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["paidup", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return command


def configure(monkeypatch: pytest.MonkeyPatch, stripe_url: str, database_url: str) -> None:
    for name, value in environment(stripe_url, database_url).items():
        monkeypatch.setenv(name, value)


def environment(stripe_url: str, database_url: str) -> dict[str, str]:
    return {
        "STRIPE_SECRET_KEY": SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": stripe_url,
        "DATABASE_URL": database_url,
        "APP_URL": "http://127.0.0.1:8000",
        "PAIDUP_PLANS": str(PLANS),
    }


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, stripe: Emulator, database_url: str) -> None:
    """The environment of `billing`."""
    configure(monkeypatch, stripe.url, database_url)


@pytest.fixture
def subscriber(billing: Billing, configured: None) -> str:
    """An owner who has paid, and of whom this database knows no more than the customer."""
    url = billing.checkout(OWNER, "pro").url
    assert url is not None
    pay(url)
    return OWNER


@pytest.fixture
def app_module(tmp_path: Path) -> Iterator[str]:
    """An app with a handler that writes what it hears of into `heard`."""
    name = f"app_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from paidup import Billing, Change\n"
        "billing = Billing.from_env()\n"
        "number = 7\n"
        "@billing.on_change()\n"
        "def hear(change: Change) -> None:\n"
        "    with Path('heard').open('a') as file:\n"
        "        file.write(change.kind + '\\n')\n"
    )
    yield name
    sys.modules.pop(name, None)
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


class TestConfiguration:
    @pytest.mark.parametrize("command", [("db", "upgrade"), ("events", "list"), ("worker",), ("catalog", "push")])
    def test_everything_that_is_missing_is_told_without_a_traceback(
        self, paidup: Paidup, command: tuple[str, ...]
    ) -> None:
        said = paidup(*command)
        assert said.code == 2
        for key in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "DATABASE_URL", "APP_URL", "set it to"):
            assert key in said.err
        assert "Traceback" not in said.err

    def test_a_wrong_plans_file_is_told_without_a_traceback(
        self, paidup: Paidup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        configure(monkeypatch, "http://127.0.0.1:1", f"sqlite:///{tmp_path}/app.db")
        (tmp_path / "plans.toml").write_text('default_plan = "free"\n[plans.pro]\nname = "Pro"\nprise = 1\n')
        monkeypatch.setenv("PAIDUP_PLANS", "plans.toml")
        said = paidup("catalog", "show")
        assert (said.code, "plans.pro.prise" in said.err) == (2, True)

    def test_the_installed_script_never_shows_a_secret(self, tmp_path: Path) -> None:
        wrong = environment("http://127.0.0.1:1", "mysql://root:hunter2@db/app") | {"STRIPE_SECRET_KEY": "hunter2"}
        ended = subprocess.run(
            [Path(sys.executable).parent / "paidup", "queue"],
            env=environment_of_a_process(wrong),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "DATABASE_URL" in ended.stderr
        assert "hunter2" not in ended.stderr

    def test_every_command_says_what_it_does(self) -> None:
        commands = list(leaves(typer.main.get_command(app)))
        assert len(commands) >= 11
        assert [name for name, command in commands if not command.help] == []

    def test_the_exit_codes_are_in_the_help(self, paidup: Paidup) -> None:
        assert "Exit codes: 0 done, 1" in " ".join(paidup("--help").out.split())

    @pytest.mark.parametrize("wrong", ["nonsense", "no.such.module:billing", "json:nothing", "json:loads", ":billing"])
    def test_an_app_that_is_not_there_is_told(self, paidup: Paidup, configured: None, wrong: str) -> None:
        said = paidup("queue", "--app", wrong)
        assert (said.code, wrong in said.err, "Traceback" in said.err) == (2, True, False)


class TestDatabase:
    def test_the_tables_are_made_once(
        self, paidup: Paidup, monkeypatch: pytest.MonkeyPatch, empty_database_url: str
    ) -> None:
        configure(monkeypatch, "http://127.0.0.1:1", empty_database_url)
        assert paidup("db", "current", "--json").json == {"revision": None}
        assert paidup("db", "current").code == 1
        first = paidup("db", "upgrade", "--json").json
        assert first["was"] is None
        assert paidup("db", "upgrade", "--json").json == {"revision": first["revision"], "was": first["revision"]}
        current = paidup("db", "current")
        assert (current.code, current.out.strip()) == (0, first["revision"])

    def test_a_database_without_tables_is_told_with_the_remedy(
        self, paidup: Paidup, monkeypatch: pytest.MonkeyPatch, empty_database_url: str
    ) -> None:
        configure(monkeypatch, "http://127.0.0.1:1", empty_database_url)
        said = paidup("events", "list")
        assert (said.code, "paidup db upgrade" in said.err) == (1, True)

    def test_a_database_that_is_away_is_told(self, paidup: Paidup, monkeypatch: pytest.MonkeyPatch) -> None:
        configure(monkeypatch, "http://127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nowhere")
        said = paidup("queue")
        assert (said.code, "the database did not answer" in said.err) == (1, True)


class TestCatalog:
    def test_a_push_is_announced_done_and_not_repeated(
        self, paidup: Paidup, configured: None, stripe: Emulator
    ) -> None:
        announced = paidup("catalog", "diff", "--json")
        assert announced.code == 1
        pushed = paidup("catalog", "push", "--json")
        assert pushed.code == 0
        assert pushed.json == announced.json
        written = len(stripe.events())
        assert paidup("catalog", "push").out.strip() == "Stripe has everything already"
        assert paidup("catalog", "diff").code == 0
        assert len(stripe.events()) == written

    def test_the_plans_are_shown(self, paidup: Paidup, configured: None) -> None:
        plans = paidup("catalog", "show", "--json").json
        assert [each["plan"] for each in plans] == ["free", "basic", "pro", "team"]
        assert "2900 usd/month" in paidup("catalog", "show").out

    def test_without_stripe_it_fails_and_says_so(self, paidup: Paidup, configured: None, stripe: Emulator) -> None:
        stripe.fail_next("/v1/*", status=500, times=50)
        said = paidup("catalog", "push")
        assert (said.code, "try again" in said.err) == (1, True)


class TestEvents:
    def test_a_received_event_is_listed_and_shown(self, paidup: Paidup, billing: Billing, configured: None) -> None:
        deliver(billing, an_event())
        assert "evt_1" in paidup("events", "list").out
        (listed,) = paidup("events", "list", "--state", "pending", "--json").json
        assert (listed["id"], listed["target"]) == ("evt_1", "customer:cus_nobody")
        assert paidup("events", "show", "evt_1", "--json").json["payload"]["id"] == "evt_1"
        assert '"object": "event"' in paidup("events", "show", "evt_1").out

    def test_there_may_be_none(self, paidup: Paidup, configured: None) -> None:
        assert paidup("events", "list", "--json").json == []
        assert paidup("events", "list").out.strip() == "no such events"

    def test_an_event_that_was_not_received_is_told(self, paidup: Paidup, configured: None) -> None:
        for command in ("show", "replay"):
            said = paidup("events", command, "evt_0")
            assert (said.code, "no event 'evt_0' was received" in said.err) == (1, True)

    def test_a_state_that_does_not_exist_is_wrong_usage(self, paidup: Paidup, configured: None) -> None:
        said = paidup("events", "list", "--state", "lost")
        assert (said.code, "pending, done, ignored, failed" in said.err) == (2, True)

    def test_a_replayed_event_is_processed_again(self, paidup: Paidup, billing: Billing, configured: None) -> None:
        deliver(billing, an_event())
        assert paidup("worker", "--once").code == 0
        assert paidup("queue").out.strip() == "everything is in step"
        assert paidup("events", "replay", "evt_1").code == 0
        (waiting,) = paidup("queue", "--json").json
        assert (waiting["target"], waiting["behind"]) == ("customer:cus_nobody", 1)
        assert paidup("worker", "--once").code == 0
        assert paidup("queue", "--json").json == []

    def test_an_ignored_event_cannot_be_replayed(self, paidup: Paidup, billing: Billing, configured: None) -> None:
        deliver(billing, an_event(type="topup.created", data={"object": {"id": "tu_1", "object": "topup"}}))
        said = paidup("events", "replay", "evt_1")
        assert (said.code, "was ignored" in said.err) == (1, True)

    def test_events_are_replayed_by_description(
        self, paidup: Paidup, billing: Billing, subscriber: str, stripe: Emulator
    ) -> None:
        for event in stripe.events():
            deliver(billing, event)
        deliver(billing, an_event())
        deliver(billing, an_event(id="evt_2", type="topup.created", data={"object": {"id": "tu_1", "object": "topup"}}))
        assert paidup("worker", "--once").code == 0
        assert paidup("events", "replay", "--type", "customer.*", "--customer", "cus_nobody", "--json").json == {
            "replayed": 1
        }
        assert [each["target"] for each in paidup("queue", "--json").json] == ["customer:cus_nobody"]
        assert paidup("worker", "--once").code == 0
        (listed,) = paidup("events", "list", "--customer", "cus_nobody", "--json").json
        assert (listed["state"], listed["reason"]) == ("ignored", "foreign_customer")
        theirs = len(paidup("events", "list", "--customer", subscriber, "--json").json)
        assert theirs > 1
        said = paidup("events", "replay", "--customer", subscriber)
        assert said.out.strip() == f"{theirs} events will be processed again"
        assert paidup("events", "replay", "--reason", "unknown_type").out.strip() == "0 events will be processed again"
        assert paidup("worker", "--once").code == 0
        assert paidup("queue", "--json").json == []

    @pytest.mark.parametrize("arguments", [(), ("evt_1", "--state", "failed")])
    def test_a_replay_of_nothing_or_of_both_is_wrong_usage(
        self, paidup: Paidup, configured: None, arguments: tuple[str, ...]
    ) -> None:
        said = paidup("events", "replay", *arguments)
        assert (said.code, "name an event, or describe some" in said.err) == (2, True)

    def test_events_of_an_owner_without_a_customer_are_told_so(self, paidup: Paidup, configured: None) -> None:
        said = paidup("events", "list", "--customer", "user:none")
        assert (said.code, "no customer for owner 'user:none' yet" in said.err) == (1, True)

    def test_events_that_never_came_are_fetched(
        self, paidup: Paidup, billing: Billing, stripe: Emulator, configured: None
    ) -> None:
        said = paidup("events", "fill")
        assert (said.code, "had never come" in said.out, "paidup reconcile --fix" in said.out) == (0, True, True)
        assert paidup("events", "fill", "--json").json["stored"] == 0
        event = paidup("events", "list", "--json").json[0]
        assert (event["source"], event["deliveries"]) == ("api", 0)
        assert "from the API" in paidup("events", "show", event["id"]).out
        assert paidup("events", "show", event["id"], "--json").json["secret"] is None
        stripe.fail_next("/v1/events", status=500, times=50)
        assert paidup("events", "fill").code == 1


class TestWork:
    def test_a_synchronised_owner_has_what_they_paid_for(
        self, paidup: Paidup, billing: Billing, subscriber: str
    ) -> None:
        assert billing.access(subscriber).plan == "free"
        assert paidup("sync", subscriber).code == 0
        assert billing.access(subscriber).plan == "pro"

    def test_an_owner_without_a_customer_is_told(self, paidup: Paidup, configured: None) -> None:
        said = paidup("sync", "user:404")
        assert (said.code, "start a checkout first" in said.err) == (1, True)

    def test_changes_wait_for_a_worker_that_knows_the_app(
        self, paidup: Paidup, subscriber: str, app_module: str, tmp_path: Path
    ) -> None:
        assert paidup("sync", subscriber).code == 0
        assert paidup("worker", "--once").code == 0
        assert paidup("worker", "--once", "--app", f"{app_module}:billing").code == 0
        assert "subscription.started" in (tmp_path / "heard").read_text().split()

    def test_what_is_not_the_apps_billing_is_refused(self, paidup: Paidup, configured: None, app_module: str) -> None:
        said = paidup("worker", "--once", "--app", f"{app_module}:number")
        assert (said.code, "is a int, not a Billing" in said.err) == (2, True)

    def test_work_that_is_left_over_is_told(
        self, paidup: Paidup, billing: Billing, configured: None, stripe: Emulator
    ) -> None:
        deliver(billing, an_event())
        stripe.fail_next("/v1/*", status=500, times=100)
        said = paidup("worker", "--once", "--timeout", "1")
        assert (said.code, "paidup queue" in said.err) == (1, True)
        assert "customer cus_nobody" in paidup("queue").out

    def test_a_worker_process_works_and_ends_when_it_is_told_to(
        self, billing: Billing, subscriber: str, stripe: Emulator, tmp_path: Path
    ) -> None:
        (created,) = stripe.events("customer.subscription.created")
        env = environment_of_a_process({name: os.environ[name] for name in os.environ if name.startswith(OURS)})
        command = [str(Path(sys.executable).parent / "paidup"), "worker"]
        with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            try:
                deliver(billing, created)
                eventually(lambda: billing.access(subscriber).plan == "pro", 30)
            finally:
                process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=30)
        assert (process.returncode, printed.split()[-1]) == (0, "ended")

    def test_a_worker_process_does_not_wait_for_a_stripe_that_hangs(
        self, billing: Billing, subscriber: str, stripe: Emulator, tmp_path: Path
    ) -> None:
        """H115: it ends in time, tells that by its exit code, and leaves the target to whoever comes next."""
        (created,) = stripe.events("customer.subscription.created")
        deliver(billing, created)
        stripe.slow_next("/v1/subscriptions", 8)
        env = environment_of_a_process({name: os.environ[name] for name in os.environ if name.startswith(OURS)})
        command = [str(Path(sys.executable).parent / "paidup"), "worker"]
        env["PAIDUP_DRAIN_SECONDS"] = "0.5"
        with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            eventually(lambda: billing.queue()[0].lease_until, 30)
            began = monotonic()
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=30)
        assert monotonic() - began < 6
        assert (process.returncode, "before its work" in printed) == (1, True)
        assert billing.queue()[0].lease_until is None
        billing.run_until_idle()
        assert billing.access(subscriber).plan == "pro"


def an_event(**more: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": "customer.updated",
        "api_version": "2026-10-28.endive",
        "created": 1_790_000_000,
        "livemode": False,
        "data": {"object": {"id": "cus_nobody", "object": "customer"}},
    } | more


def environment_of_a_process(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | dict(ours)


def leaves(command: Any, name: str = "paidup") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    if not isinstance(command, typer.core.TyperGroup):
        yield name, command
        return
    for part, inner in command.commands.items():
        yield from leaves(inner, f"{name} {part}")


class TestChanges:
    def test_what_handlers_could_not_take_is_shown_and_handed_out_again(
        self, paidup: Paidup, subscriber: str, database_url: str
    ) -> None:
        assert paidup("sync", subscriber).code == 0
        listed = paidup("changes", "list", "--json").json
        assert {each["state"] for each in listed} == {"pending"}
        assert paidup("changes", "list", "--state", "failed", "--json").json == []
        wrong = paidup("changes", "retry", "invoice.paid:in_1")
        assert (wrong.code, "no change 'invoice.paid:in_1' was given up" in wrong.err) == (1, True)
        database = Database(database_url)
        with database.write() as session:
            session.execute(text("UPDATE billing_changes SET state = 'failed', last_error = 'OSError: no mail'"))
        database.close()
        assert "OSError: no mail" in paidup("changes", "list", "--state", "failed", "--owner", subscriber).out
        assert paidup("changes", "list", "--owner", "user:2").out == "no such changes\n"
        assert paidup("changes", "retry", listed[0]["id"], "--json").json == {"retried": 1}
        assert paidup("changes", "retry", "--all", "--json").json == {"retried": len(listed) - 1}
        assert len(paidup("changes", "list", "--state", "pending", "--json").json) == len(listed)

    @pytest.mark.parametrize("arguments", [(), ("invoice.paid:in_1", "--all")])
    def test_one_or_all_has_to_be_said(self, paidup: Paidup, configured: None, arguments: tuple[str, ...]) -> None:
        assert paidup("changes", "retry", *arguments).code == 2


class TestCredits:
    def test_some_are_given_once_and_shown(self, configured: None, paidup: Paidup) -> None:
        for _ in range(2):
            said = paidup("credits", "give", OWNER, "tokens", "500", "--key", "ticket:7", "--note", "an apology")
            assert (said.code, said.out.strip()) == (0, "user:1 has 500 tokens")
        assert paidup("credits", "show", OWNER, "--json").json == [
            {"credit": "tokens", "name": "Tokens", "balance": 500}
        ]
        [entry] = paidup("credits", "list", OWNER, "--json").json
        assert (entry["kind"], entry["units"], entry["note"]) == ("given", 500, "an apology")

    def test_what_there_is_not_is_told_without_a_traceback(self, configured: None, paidup: Paidup) -> None:
        said = paidup("credits", "give", OWNER, "coins", "5", "--key", "ticket:7")
        assert said.code == 1
        assert "there is no credit 'coins'; the plans file has: tokens" in said.err
        assert "Traceback" not in said.err
        assert paidup("credits", "give", OWNER, "tokens", "0", "--key", "k").code == 2
        assert "no entries" in paidup("credits", "list", OWNER).out
