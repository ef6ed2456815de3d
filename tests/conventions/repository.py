"""Where things are in this repository, and what is in them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

OUR_CODE = ("src", "emulator/src", "starter", "scripts", "benchmarks")
OUR_TESTS = ("tests", "emulator/tests")


def python_files(*folders: str) -> list[Path]:
    """Every Python file below the folders, in order."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def named(file: Path) -> str:
    """The file's path from the root: what a failure should show."""
    return str(file.relative_to(ROOT))


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """The absolute modules a file imports, with the line; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    yield node.lineno, f"{module}.{alias.name}"


def kept_files(*patterns: str) -> list[Path]:
    """The files matching the patterns that belong to the repository: what git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({ROOT / name for name in listed if (ROOT / name).is_file()})
