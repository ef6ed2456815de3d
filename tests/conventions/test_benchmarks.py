"""Benchmarks are run by hand; that they still run is tested with the quickest."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.conventions.repository import ROOT


def test_a_benchmark_prints_each_figure_beside_its_floor() -> None:
    command = [sys.executable, "-m", "benchmarks.emulator_startup", "--rounds", "1", "--json"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = json.loads(printed)["rows"]
    assert {row["name"] for row in rows} == {"the command", "Emulator() in a test"}
    assert all(len(row["measured"]) == len(row["floor"]) == 1 and row["ratio"] > 0 for row in rows)


def test_every_benchmark_is_in_the_table() -> None:
    table = (ROOT / "benchmarks" / "README.md").read_text()
    names = [path.stem for path in (ROOT / "benchmarks").glob("[a-z]*_*.py")]
    assert names
    assert [name for name in names if f"`{name}`" not in table] == []
