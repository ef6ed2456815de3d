"""
The numbered hazards of webhook billing: a test that shows one handled names it.

Its docstring begins with the numbers: H3 for deliveries that are repeated, say.
"""

from __future__ import annotations

import ast
import re

from tests.conventions.repository import OUR_TESTS, named, python_files

KNOWN = range(1, 121)

# The ones that a first sale from end to end has to survive.
COVERED = {1, 3, 6, 7, 8, 9, 25, 28, 33, 37, 39, 47, 51, 52, 55, 66, 71, 109}

_NAMES = re.compile(r"(?:H\d+(?:, )?)+(?=[:.])")


def _claims() -> dict[int, list[str]]:
    """For each hazard the tests that begin by naming it."""
    claims: dict[int, list[str]] = {}
    for file in python_files(*OUR_TESTS):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                named_first = _NAMES.match(ast.get_docstring(node) or "")
                for number in re.findall(r"\d+", named_first.group() if named_first else ""):
                    claims.setdefault(int(number), []).append(f"{named(file)}::{node.name}")
    return claims


def test_tests_name_only_hazards_that_exist() -> None:
    assert {number: tests for number, tests in _claims().items() if number not in KNOWN} == {}


def test_every_hazard_of_the_main_flow_has_a_test() -> None:
    assert COVERED - _claims().keys() == set()
