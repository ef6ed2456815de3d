"""The table of behaviours names tests; each of them must be there, and every behaviour must have one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "docs" / "behaviours.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+(?:::test_\w+)?)`", TABLE)))


def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    file, _, test = name.partition("::")
    there = names_in(TESTS / f"{file}.py")
    assert test in there if test else any(one.startswith("test_") for one in there)


def test_every_behaviour_has_its_source_and_its_tests() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]*\| ([^|]*) \| ([^|]*) \|$", TABLE, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 26))
    assert all(source.strip() and "`test_" in tests for _, source, tests in rows)


def test_every_test_file_of_a_behaviour_is_in_the_table() -> None:
    """A new file of tests is either about a behaviour of Stripe, and named, or about the emulator itself."""
    files = {file.stem for file in TESTS.glob("test_*.py")}
    named = {name.partition("::")[0] for name in NAMED}
    assert files - named - OWN == set()


OWN = {
    "test_behaviours",
    "test_builders",
    "test_chaos",
    "test_command",
    "test_control",
    "test_pages_formats",
    "test_pages_forms",
    "test_pages_style",
    "test_plugin",
    "test_robustness",
    "test_schedules",
    "test_state",
    "test_surviving",
    "test_workbench",
    "test_workbench_browser",
}
"""Tests of what Stripe has no like of."""
