"""The lock files say what is installed, never from where, and pip can check every byte of it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions

import pytest

from tests.conventions.repository import ROOT

LOCKS = ["requirements.lock", "requirements-dev.lock"]

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,_-]+\])?==([^ \\]+)", re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert re.findall(r"\S*(?:://|@ |--index-url|--find-links|--extra-index-url)\S*", text) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE).strip())
    assert len(entries) > 20
    assert [entry for entry in entries if not _PIN.match(entry) or "--hash=sha256:" not in entry] == []


def test_the_tools_lock_holds_the_same_versions_as_the_demos() -> None:
    demo, tools = (dict(_PIN.findall((ROOT / lock).read_text())) for lock in LOCKS)
    assert {name: (version, tools.get(name)) for name, version in demo.items() if tools.get(name) != version} == {}


def test_a_pin_names_the_extras_that_another_package_asks_for() -> None:
    """Else pip 23 asks for the newest `coverage[toml]` beside the pinned `coverage`, and fails once there is one."""
    locked = (ROOT / "requirements-dev.lock").read_text()
    asked = {
        found.group()
        for distribution in distributions()
        for requirement in distribution.requires or []
        if "extra ==" not in requirement and (found := re.match(r"[A-Za-z0-9._-]+\[[^\]]+\]", requirement))
    }
    pinned = {each for each in asked if re.search(rf"^{re.escape(each.split('[')[0])}\b", locked, re.MULTILINE)}
    assert "coverage[toml]" in pinned
    assert {each for each in pinned if f"\n{each}==" not in locked} == set()


def test_every_dependency_of_ours_is_in_the_lock() -> None:
    demo = set(dict(_PIN.findall((ROOT / "requirements.lock").read_text())))
    wanted: set[str] = set()
    for project in ("pyproject.toml", "emulator/pyproject.toml", "starter/pyproject.toml"):
        wanted |= _dependencies(project)
    assert wanted - demo - {"paidup", "stripe-emulator", "saas-starter"} == set()


def _dependencies(project: str) -> set[str]:
    parsed = tomllib.loads((ROOT / project).read_text())["project"]
    extras = parsed.get("optional-dependencies", {}).get("fastapi", [])
    return {re.split(r"[\[<>=!~; ]", each)[0].lower() for each in [*parsed["dependencies"], *extras]}
