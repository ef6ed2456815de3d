"""
The pytest plugin as an installed package gives it: by its entry point, in a project of somebody else.

Each project is a pytest of its own, whose only packages are ours and a metadata folder with what pyproject.toml says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import stripe_emulator
import stripe_emulator.testing

PROJECT = Path(__file__).parents[1]
HEAVY = ("httpx", "pydantic", "starlette", "stripe", "uvicorn")

Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def entry_points() -> dict[str, str]:
    """What pyproject.toml announces to pytest."""
    found: dict[str, str] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"][
        "pytest11"
    ]
    return found


@pytest.fixture
def project(tmp_path: Path, entry_points: dict[str, str]) -> Run:
    """Runs a project's tests, the text of one file, with the plugin installed; gives the exit code and the output."""
    installed = tmp_path / "installed" / "stripe_emulator_entry_points-1.dist-info"
    installed.mkdir(parents=True)
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: stripe-emulator-entry-points\nVersion: 1\n")
    folder = tmp_path / "project"
    folder.mkdir()

    def run(tests: str) -> tuple[int, str]:
        (folder / "test_it.py").write_text(tests)
        path = os.pathsep.join([str(installed.parent), str(PROJECT / "src")])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_it.py"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_entry_point_is_the_plugin(entry_points: dict[str, str]) -> None:
    [(name, value)] = entry_points.items()
    plugin = EntryPoint(name, value, "pytest11").load()
    assert {"stripe", "stripe_session"} <= set(vars(plugin))


def test_the_fixtures_are_there_without_a_conftest(project: Run) -> None:
    code, output = project("""
def test_a_stripe_of_its_own(stripe):
    assert stripe.api.customers.list().data == []
    stripe.customer("a@example.com")

def test_another(stripe, stripe_session):
    assert stripe.api.customers.list().data == []
    stripe_session.customer("b@example.com")

def test_the_session_s_is_one(stripe_session):
    [customer] = stripe_session.api.customers.list().data
    assert customer.email == "b@example.com"
    stripe_session.reset()
    assert stripe_session.api.customers.list().data == []
""")
    assert code == 0, output
    assert "3 passed" in output


def test_a_fixture_of_the_projects_own_wins(project: Run, tmp_path: Path) -> None:
    (tmp_path / "project" / "conftest.py").write_text("""
import pytest

@pytest.fixture
def stripe():
    return "mine"
""")
    code, output = project("""
def test_mine(stripe):
    assert stripe == "mine"
""")
    assert code == 0, output


def test_naming_the_plugin_in_a_conftest_as_well_does_no_harm(project: Run, tmp_path: Path) -> None:
    (tmp_path / "project" / "conftest.py").write_text('pytest_plugins = ["stripe_emulator.testing.plugin"]')
    code, output = project("def test_it(stripe): assert stripe.url")
    assert code == 0, output


def test_a_project_that_does_not_use_it_pays_nothing(project: Run) -> None:
    code, output = project(f"""
import sys

def test_nothing_was_loaded():
    assert "stripe_emulator.testing.plugin" in sys.modules
    assert not set({HEAVY!r}) & set(sys.modules)
""")
    assert code == 0, output


def test_the_examples_in_the_documentation_work(project: Run, tmp_path: Path) -> None:
    """docs/your_own_tests.md: every file in it, and the failure it quotes."""
    text = (PROJECT / "docs" / "your_own_tests.md").read_text()
    files = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))
    assert files.keys() == {"test_states.py", "shop.py", "test_shop.py", "test_by_hand.py"}
    for name, code in files.items():
        (tmp_path / "project" / name).write_text(_within(4, code))
    code, output = project("from test_by_hand import *\nfrom test_shop import *\nfrom test_states import *\n")
    assert code == 0, output
    assert "4 passed" in output
    broken = files["shop.py"].replace(
        "now = self.stripe.subscriptions.retrieve(event.data.object.id)", "now = event.data.object"
    )
    (tmp_path / "project" / "shop.py").write_text(broken)
    (tmp_path / "project" / "test_shop.py").write_text(_within(80, files["test_shop.py"]))
    code, output = project("from test_shop import *\n")
    quoted = re.findall(r"```text\n(.*?)```", text, re.DOTALL)[0].splitlines()
    assert code == 1
    assert [line for line in quoted if line not in output] == []


def _within(seconds: int, code: str) -> str:
    """The example with a time limit: it survives a few schedules, and is given all it needs to be found out."""
    return code.replace("at_stripe=at_stripe)", f"at_stripe=at_stripe, seconds={seconds})")


@pytest.mark.parametrize("package", [stripe_emulator, stripe_emulator.testing])
def test_every_public_name_is_there_when_it_is_asked_for(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]  # both packages have one
    assert all(getattr(package, name).__name__ == name for name in names)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        package.Nothing  # type: ignore[attr-defined]  # noqa: B018  # that is the point
