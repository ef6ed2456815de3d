"""
The processes that `import_account` measures: each does one thing and prints its seconds and its peak of memory.

`paidup` takes in the account at `stripe_url`; `floor` fetches the same pages and parses them, and does nothing else.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks.receiving import billing as opened
from paidup import Customer

OWNER_KEY = "app_user"
KEY = "sk_test_benchmark"
LISTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("products", {}),
    ("prices", {}),
    ("customers", {"expand[0]": "data.invoice_settings.default_payment_method"}),
    ("subscriptions", {"status": "all", "expand[0]": "data.default_payment_method"}),
    ("invoices", {}),
)


def main() -> None:
    """Do what the command line says, and print how it went."""
    kind, database_url, plans, stripe_url = sys.argv[1:]
    begun = time.perf_counter()
    found = take_in(database_url, plans, stripe_url) if kind == "paidup" else fetch(stripe_url)
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "peak_mb": _peak(), "found": found}))


def take_in(database_url: str, plans: str, stripe_url: str) -> dict[str, int]:
    """Import the account."""
    billing = opened(database_url, plans, stripe_url)
    gc.collect()
    gc.freeze()  # as the starter does: no collection walks through what was loaded before
    report = billing.reconcile(fix=True, owner_of=_owner_of)
    billing.close()
    if not report.is_clean:
        raise RuntimeError(f"the import left {report.found + report.unsafe} differences")
    return dict(report.imported)


def fetch(stripe_url: str) -> dict[str, int]:
    """The same pages, the lists side by side."""
    with ThreadPoolExecutor(len(LISTS)) as pool:
        counts = pool.map(lambda each: _fetch(stripe_url, *each), LISTS)
        return {name: count for (name, _), count in zip(LISTS, counts, strict=True)}


def _fetch(stripe_url: str, name: str, params: dict[str, Any]) -> int:
    count = 0
    after: dict[str, str] = {}
    with httpx.Client(base_url=f"{stripe_url}/v1", auth=(KEY, ""), trust_env=False, timeout=60) as client:
        while True:
            answer = client.get(f"/{name}", params={"limit": 100, **params, **after})
            page = json.loads(answer.raise_for_status().content)
            count += len(page["data"])
            if not page["has_more"]:
                return count
            after = {"starting_after": page["data"][-1]["id"]}


def _peak() -> float:
    """The most memory this process ever held; where the system doesn't tell, its parent's may be counted in."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _owner_of(customer: Customer) -> str | None:
    user = customer.metadata.get(OWNER_KEY)
    return f"user:{user}" if user else None


if __name__ == "__main__":
    main()
