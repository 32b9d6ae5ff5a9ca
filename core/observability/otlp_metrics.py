"""The Prometheus registry as OpenTelemetry metrics: the same numbers, so that both roads agree."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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
from prometheus_client.samples import Sample

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


@dataclass(slots=True)
class _Child:
    """What Prometheus tells of one combination of labels."""

    values: dict[str, float] = field(default_factory=dict)
    buckets: list[tuple[float, float]] = field(default_factory=list)
    created: float = _STARTED


def metrics_data(resource: Resource, registry: CollectorRegistry = REGISTRY) -> MetricsData:
    """Everything in the registry now."""
    now = time.time_ns()
    metrics = [metric for family in registry.collect() for metric in _metrics(family, now)]
    scope = ScopeMetrics(scope=InstrumentationScope("waystation"), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metrics(family: Family, now: int) -> Iterator[Metric]:
    children = _children(family)
    if not children:
        return
    name, unit = _GENAI.get(family.name, (family.name, family.unit))
    data: Sum | Gauge | Histogram
    if family.type == "counter":
        data = Sum(_numbers(children, "_total", now), _CUMULATIVE, is_monotonic=True)
    elif family.type == "histogram":
        data = Histogram([_histogram(key, child, now) for key, child in children.items()], _CUMULATIVE)
    else:
        data = Gauge(_numbers(children, "", now))
    yield Metric(name=name, description=family.documentation, unit=unit, data=data)


def _children(family: Family) -> dict[Labels, _Child]:
    found: dict[Labels, _Child] = defaultdict(_Child)
    for sample in family.samples:
        _take(found[_key(sample)], sample, sample.name.removeprefix(family.name))
    return found


def _key(sample: Sample) -> Labels:
    return tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))


def _take(child: _Child, sample: Sample, suffix: str) -> None:
    if suffix == "_bucket":
        child.buckets.append((float(sample.labels["le"]), sample.value))
    elif suffix == "_created":
        child.created = sample.value
    else:
        child.values[suffix] = sample.value


def _attributes(key: Labels) -> dict[str, str]:
    return {_LABELS.get(name, name): value for name, value in key if value}


def _numbers(children: dict[Labels, _Child], suffix: str, now: int) -> list[NumberDataPoint]:
    return [
        NumberDataPoint(_attributes(key), _nanoseconds(child.created), now, child.values[suffix])
        for key, child in children.items()
        if suffix in child.values
    ]


def _histogram(key: Labels, child: _Child, now: int) -> HistogramDataPoint:
    ordered = sorted(child.buckets)
    return HistogramDataPoint(
        attributes=_attributes(key),
        start_time_unix_nano=_nanoseconds(child.created),
        time_unix_nano=now,
        count=int(child.values["_count"]),
        sum=child.values["_sum"],
        bucket_counts=list(_each([count for _, count in ordered])),
        explicit_bounds=[bound for bound, _ in ordered if not math.isinf(bound)],
        # Prometheus keeps neither; unset is what OTLP foresees.
        min=None,  # type: ignore[arg-type]  # the exporter leaves None out
        max=None,  # type: ignore[arg-type]  # the exporter leaves None out
    )


def _each(cumulative: Sequence[float]) -> Iterable[int]:
    """Prometheus counts a bucket with all smaller ones, OpenTelemetry without."""
    before = 0.0
    for count in cumulative:
        yield int(count - before)
        before = count


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
