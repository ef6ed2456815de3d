"""What import-linter (run by `make check`) can't say: rules about everything outside, or about names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import paidup
from tests.conventions.repository import imports_of, named, python_files


@pytest.mark.parametrize("file", python_files("src/paidup/core"), ids=named)
def test_the_core_imports_only_the_standard_library_and_itself(file: Path) -> None:
    foreign = [
        f"line {line}: {module}"
        for line, module in imports_of(file)
        if module.split(".")[0] not in sys.stdlib_module_names and not module.startswith("paidup.core")
    ]
    assert foreign == []


@pytest.mark.parametrize("file", python_files("starter/saas"), ids=named)
def test_the_starter_uses_public_names_only(file: Path) -> None:
    public = {f"paidup.{name}" for name in paidup.__all__} | {"paidup"}
    private = [
        f"line {line}: {module}"
        for line, module in imports_of(file)
        if module.split(".")[0] == "paidup"
        and module not in public
        and not module.startswith(("paidup.web.", "paidup.models."))
    ]
    assert private == []


@pytest.mark.parametrize("file", python_files("src", "emulator/src", "starter"), ids=named)
def test_what_a_module_calls_private_no_other_module_uses(file: Path) -> None:
    ours = ("paidup.", "stripe_emulator.", "saas.")
    borrowed = [f"line {line}: {module}" for line, module in imports_of(file) if module.startswith(ours)]
    assert [each for each in borrowed if re.search(r"\._(?!_)", each)] == []
