"""
Runs every benchmark in a process of its own, and prints one table. Exit code 1 when a target was missed.

Targets are about the median of the rounds, on a machine with nothing else to do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import options, show

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*_*.py"))


def main() -> int:
    """Run them."""
    chosen = options(__doc__ or "")
    reports = []
    for number, name in enumerate(NAMES, start=1):
        print(f"[{number}/{len(NAMES)}] {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--rounds", str(chosen.rounds), "--json"]
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        reports.append(json.loads(printed))
    if chosen.json:
        print(json.dumps(reports))
    else:
        show(reports)
    return int(any(row["is_met"] is False for each in reports for row in each["rows"]))


if __name__ == "__main__":
    sys.exit(main())
