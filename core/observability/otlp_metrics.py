"""The Prometheus registry as OpenTelemetry metrics: the same numbers, so that both roads agree."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from core.observability.metrics import REGISTRY

_STARTED = time.time()
_CUMULATIVE = AggregationTemporality.CUMULATIVE
# What the GenAI conventions call these: Prometheus has no dots, and puts the unit into the name.
_GENAI = {
    "gen_ai_client_token_usage": ("gen_ai.client.token.usage", "{token}"),
    "gen_ai_client_operation_duration_seconds": ("gen_ai.client.operation.duration", "s"),
}
_LABELS = {
    "gen_ai_operation_name": "gen_ai.operation.name",
    "gen_ai_provider_name": "gen_ai.provider.name",
    "gen_ai_request_model": "gen_ai.request.model",
    "gen_ai_token_type": "gen_ai.token.type",
    "error_type": "error.type",
}

Labels = tuple[tuple[str, str], ...]


def metrics_data(resource: Resource, registry: CollectorRegistry = REGISTRY) -> MetricsData:
    """Everything in the registry now."""
    now = time.time_ns()
    metrics = [metric for family in registry.collect() if (metric := _metric(family, now))]
    scope = ScopeMetrics(scope=InstrumentationScope("waystation"), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metric(family: Family, now: int) -> Metric | None:
    # What Prometheus tells of each combination of labels: a bucket by its bound, all else by the name's end.
    found: dict[Labels, dict[str | float, float]] = defaultdict(dict)
    for sample in family.samples:
        bound = sample.labels.get("le")
        key = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        found[key][float(bound) if bound else sample.name.removeprefix(family.name)] = sample.value
    if not found:
        return None
    data: Sum | Gauge | Histogram
    if family.type == "histogram":
        data = Histogram([_histogram(key, values, now) for key, values in found.items()], _CUMULATIVE)
    elif family.type == "counter":
        data = Sum(_numbers(found, "_total", now), _CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(_numbers(found, "", now))
    name, unit = _GENAI.get(family.name, (family.name, family.unit))
    return Metric(name=name, description=family.documentation, unit=unit, data=data)


def _numbers(found: dict[Labels, dict[str | float, float]], suffix: str, now: int) -> list[NumberDataPoint]:
    return [
        NumberDataPoint(_attributes(key), _began(values), now, values[suffix])
        for key, values in found.items()
        if suffix in values
    ]


def _histogram(key: Labels, values: dict[str | float, float], now: int) -> HistogramDataPoint:
    bounds = sorted(bound for bound in values if isinstance(bound, float))
    # Prometheus counts a bucket with all smaller ones, OpenTelemetry without.
    counts = [int(values[bound]) for bound in bounds]
    return HistogramDataPoint(
        attributes=_attributes(key),
        start_time_unix_nano=_began(values),
        time_unix_nano=now,
        count=int(values["_count"]),
        sum=values["_sum"],
        bucket_counts=[count - before for before, count in pairwise([0, *counts])],
        explicit_bounds=bounds[:-1],
        # Prometheus keeps neither; unset is what OTLP foresees.
        min=None,  # type: ignore[arg-type]  # the exporter leaves None out
        max=None,  # type: ignore[arg-type]  # the exporter leaves None out
    )


def _attributes(key: Labels) -> dict[str, str]:
    return {_LABELS.get(name, name): value for name, value in key if value}


def _began(values: dict[str | float, float]) -> int:
    return int(values.get("_created", _STARTED) * 1_000_000_000)
