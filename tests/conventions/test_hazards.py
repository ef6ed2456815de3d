"""
The numbered hazards of webhook billing: a test that shows one handled names it.

Its docstring begins with the numbers, H3 for deliveries that are repeated, say; or it is marked `hazard(3)`, alone or
with its whole class or file by `pytestmark`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conventions.repository import OUR_TESTS, named, python_files

KNOWN = range(1, 121)

COVERED = {
    "a first sale": {1, 3, 6, 7, 8, 9, 25, 28, 33, 37, 39, 47, 51, 52, 55, 66, 71, 109},
    "webhooks": {*range(1, 33), 43, 44, 68, 69, 70, 76, 77, 82, *range(112, 119)},
    "changes of plan": {47, 49, 50, 55, 56, 57, 58, 60, 67, 83, 84, 86, 87, 91, 92, 93, 94, 96, 109, 110},
    "customers": {33, 34, 35, 36, 37, 38, 39, 40, 41},
    "a subscription's whole life": {*range(33, 68), *range(71, 76), *range(79, 102), 109, 110, 111},
}
"""What has to survive, and what may not harm it."""

_Test = ast.FunctionDef | ast.AsyncFunctionDef
_NAMES = re.compile(r"(?:H\d+(?:, )?)+(?=[:.])")


def _claims() -> dict[int, list[str]]:
    """For each hazard the tests that name it."""
    claims: dict[int, list[str]] = {}
    for file in python_files(*OUR_TESTS):
        for test, marks in _tests(ast.parse(file.read_text()), []):
            for number in _named_by(test) + _numbers(marks):
                claims.setdefault(number, []).append(f"{named(file)}::{test.name}")
    return claims


def _tests(parent: ast.Module | ast.ClassDef, marks: list[ast.expr]) -> Iterator[tuple[_Test, list[ast.expr]]]:
    """Each test, and what marks the class and the file it is in."""
    for node in parent.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["pytestmark"]:
            marks = [*marks, *(node.value.elts if isinstance(node.value, ast.List) else [node.value])]
    for node in parent.body:
        if isinstance(node, ast.ClassDef):
            yield from _tests(node, marks)
        elif isinstance(node, _Test) and node.name.startswith("test_"):
            yield node, marks


def _named_by(test: _Test) -> list[int]:
    first_words = _NAMES.match(ast.get_docstring(test) or "")
    named = [int(number) for number in re.findall(r"\d+", first_words.group() if first_words else "")]
    return _numbers(test.decorator_list) + named


def _numbers(marks: list[ast.expr]) -> list[int]:
    return [
        argument.value
        for mark in marks
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.hazard"
        for argument in mark.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    ]


def test_tests_name_only_hazards_that_exist() -> None:
    assert {number: tests for number, tests in _claims().items() if number not in KNOWN} == {}


@pytest.mark.parametrize("what", COVERED)
def test_every_hazard_that_is_covered_has_a_test(what: str) -> None:
    assert COVERED[what] - _claims().keys() == set()
