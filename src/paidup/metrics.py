"""
Metrics for Prometheus, in two kinds.

This process's own: counters and histograms in `prometheus_client`'s default registry, so that an app which serves that
one serves these as well. Everybody's, from the database: `HealthCollector`, which an app registers where it likes.

| metric | what |
|---|---|
| `paidup_webhooks_total{outcome}` | deliveries: pending, ignored, duplicate; the reason of a refusal; unavailable |
| `paidup_webhook_seconds` | from a verified delivery to its commit |
| `paidup_synchronisations_total{kind,outcome}` | targets taken: done, failed, gave_up, rate_limited, lost_lease |
| `paidup_synchronisation_seconds{kind}` | from the lease to the commit |
| `paidup_stripe_requests_total{endpoint,status}` | requests to Stripe, repetitions included; `none` is no answer |
| `paidup_stripe_request_seconds{endpoint}` | until Stripe's answer |
| `paidup_changes_total{kind,outcome}` | changes taken by handlers: done, failed |

The collector's are the facts of `core.health`, by the names in `_GAUGES`, and `paidup_findings{finding,severity}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from paidup.core.health import Facts, Health
from paidup.errors import DatabaseUnavailable

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

webhooks = Counter("paidup_webhooks", "Webhooks that were delivered, by what became of them.", ("outcome",))
webhook_seconds = Histogram("paidup_webhook_seconds", "From a verified delivery to its commit.", buckets=_SECONDS)
synchronisations = Counter("paidup_synchronisations", "Targets that were worked on.", ("kind", "outcome"))
synchronisation_seconds = Histogram(
    "paidup_synchronisation_seconds", "From a target's lease to the commit.", ("kind",), buckets=_SECONDS
)
stripe_requests = Counter("paidup_stripe_requests", "Requests to Stripe.", ("endpoint", "status"))
stripe_request_seconds = Histogram(
    "paidup_stripe_request_seconds", "Until Stripe's answer.", ("endpoint",), buckets=_SECONDS
)
changes = Counter("paidup_changes", "Changes that handlers were called for.", ("kind", "outcome"))

_GAUGES: tuple[tuple[str, str, Callable[[Facts], float | None]], ...] = (
    ("paidup_targets_waiting", "Targets to synchronise.", lambda facts: facts.waiting),
    (
        "paidup_oldest_target_seconds",
        "How long the first has been due.",
        lambda facts: _age(facts, facts.waiting_since),
    ),
    ("paidup_targets_given_up", "Targets that were given up on.", lambda facts: facts.gave_up),
    ("paidup_changes_waiting", "Changes that handlers have not had.", lambda facts: facts.changes_waiting),
    (
        "paidup_oldest_change_seconds",
        "How long the first has waited.",
        lambda facts: _age(facts, facts.changes_waiting_since),
    ),
    ("paidup_changes_given_up", "Changes that were given up on.", lambda facts: facts.changes_failed),
    ("paidup_drift", "Differences the last finished reconciliation left.", lambda facts: facts.drift),
    (
        "paidup_reconciled_timestamp_seconds",
        "When the last reconciliation finished.",
        lambda facts: facts.reconciled_at.timestamp() if facts.reconciled_at else None,
    ),
    (
        "paidup_migration_pending",
        "1 when the tables are older than the library.",
        lambda facts: facts.revision != facts.newest_revision,
    ),
)


class HealthCollector(Collector):
    """What `Billing.health` knows, asked anew at each scrape. `paidup_database_up` is 0 when it can't be."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing, so that registering it does not read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges; those without a value yet are left out."""
        try:
            found = self._health()
        except DatabaseUnavailable:
            yield GaugeMetricFamily("paidup_database_up", "Can the database be read?", value=0)
            return
        yield GaugeMetricFamily("paidup_database_up", "Can the database be read?", value=1)
        facts = found.facts
        for name, told, value_of in _GAUGES:
            value = value_of(facts)
            if value is not None:
                yield GaugeMetricFamily(name, told, value=float(value))
        yield _by("paidup_event_lag_seconds", "Receipt to processing, in an hour.", "quantile", _quantiles(facts))
        yield _by("paidup_events_failed", "Failed events by type and error.", "failure", facts.failures)
        refused = {each.reason: each.count for each in facts.refused}
        yield _by("paidup_webhooks_refused", "Refused webhooks, of all processes, for ever.", "reason", refused)
        findings = GaugeMetricFamily(
            "paidup_findings",
            "What somebody should look at; `paidup health` says more.",
            labels=("finding", "severity"),
        )
        for each in found.findings:
            findings.add_metric((each.name, each.severity), 1)
        yield findings


def _by(name: str, told: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family


def _age(facts: Facts, since: datetime | None) -> float:
    return max(0.0, (facts.at - since).total_seconds()) if since else 0.0


def _quantiles(facts: Facts) -> dict[str, float]:
    return {f"0.{name.removeprefix('p')}": seconds for name, seconds in facts.lag.items()}
