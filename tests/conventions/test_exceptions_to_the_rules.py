"""Every exception to a rule is narrow and says which rule it breaks; tests don't sleep and aren't skipped."""

from __future__ import annotations

import ast
import re
import tomllib

from tests.conventions.repository import OUR_CODE, OUR_TESTS, ROOT, named, python_files

FILES = python_files(*OUR_CODE, *OUR_TESTS)


def _lines_with(pattern: str) -> list[str]:
    expression = re.compile(pattern)
    return [
        f"{named(file)}:{number}: {line.strip()}"
        for file in FILES
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if expression.search(line)
    ]


def test_every_type_ignore_names_its_error() -> None:
    assert _lines_with(r"# *type: *ignore(?!\[)") == []


def test_every_noqa_names_its_rule() -> None:
    assert _lines_with(r"# *(?:ruff: *)?noqa(?!: ?[A-Z]+\d)") == []


def test_no_file_is_excused_from_type_checking() -> None:
    assert _lines_with(r"^# *(?:mypy: *ignore-errors|type: *ignore)|@(?:typing\.)?no_type_check") == []


def test_mypy_is_strict_everywhere() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert mypy["strict"] is True
    assert {"overrides", "exclude", "ignore_missing_imports", "ignore_errors", "follow_imports"} & mypy.keys() == set()
    assert {folder for folder in ("src", "emulator/src", "starter", *OUR_TESTS) if folder not in mypy["files"]} == set()


def test_warnings_are_errors() -> None:
    pytest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    first, *exceptions = pytest["filterwarnings"]
    assert first == "error"
    # action:message:category:module, with at least a message and a category
    assert [each for each in exceptions if not re.fullmatch(r"ignore:[^:]{10,}:[\w.]+(:[^:]+)?", each)] == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    assert _lines_with(r"\bmark\.(?:skip|xfail)|\bpytest\.(?:skip|xfail|importorskip)\b") == []


def test_tests_do_not_sleep() -> None:
    sleeping = [
        f"{named(file)}:{node.lineno}"
        for file in python_files(*OUR_TESTS)
        if file.parent.name != "support"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep", "page.wait_for_timeout")
    ]
    assert sleeping == []
