from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from pydantic import SecretStr, ValidationError

from core.errors import ConfigInvalid
from core.observability import (
    TURNS,
    clean,
    configure_logging,
    extracted,
    model_span,
    recording,
    span,
    start_telemetry,
    traceparent,
    track_duration,
)
from core.observability.otlp import Pusher
from core.observability.otlp_metrics import metrics_data
from core.settings.platform import TelemetrySettings
from tests.kit.otlp_server import OtlpServer
from tests.kit.patience import A_BUSY_MACHINE_S

SECRET = SecretStr("Basic Y29sbGVjdG9yOnB3")


def settings(collector: OtlpServer | str, **more: Any) -> TelemetrySettings:
    url = collector if isinstance(collector, str) else collector.url
    return TelemetrySettings(otlp_endpoint=url, **more)


def test_the_collector_gets_what_metrics_shows_and_spans_as_they_end() -> None:
    TURNS.labels("otlp-test").inc(3)
    with OtlpServer() as collector, start_telemetry(settings(collector)) as telemetry:
        with span("work"), track_duration("otlp-test"), model_span("gpt-otlp", provider="openai") as call:
            call.set(input_tokens=12)
        telemetry.stop()
        assert collector.wait_for_span("work").parent_id == ""
        turns = collector.wait_for_metric("waystation_turns", {"status": "otlp-test"})
        took = collector.wait_for_metric("waystation_operation_seconds", {"operation": "otlp-test"})
        of_model = {"gen_ai.request.model": "gpt-otlp"}
        tokens = collector.wait_for_metric("gen_ai.client.token.usage", of_model)
        model = collector.wait_for_metric("gen_ai.client.operation.duration", of_model)
    assert (turns.kind, turns.value) == ("sum", 3)
    assert (took.kind, took.count, took.attributes["outcome"]) == ("histogram", 1, "ok")
    assert (tokens.unit, tokens.value, sum(tokens.buckets)) == ("{token}", 12, 1)
    assert tokens.attributes["gen_ai.token.type"] == "input"
    assert (model.unit, model.count) == ("s", 1)
    assert "error.type" not in model.attributes
    assert not recording()


def test_headers_reach_the_collector_and_never_a_log() -> None:
    with (
        OtlpServer() as collector,
        start_telemetry(settings(collector, metrics=False, otlp_headers={"Authorization": SECRET})),
        span("work"),
    ):
        pass
    assert collector.requests[0]["authorization"] == SECRET.get_secret_value()
    assert clean(f"sent {SECRET.get_secret_value()}") == "sent ***"


def test_metrics_go_out_again_and_again() -> None:
    pushed = threading.Semaphore(0)
    pusher = Pusher(pushed.release, every_s=0.01)
    assert all(pushed.acquire(timeout=10) for _ in range(3))
    pusher.stop()


def test_a_push_that_fails_is_not_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    tried = threading.Semaphore(0)

    def push() -> None:
        tried.release()
        raise OSError("no")

    pusher = Pusher(push, every_s=0.01)
    assert all(tried.acquire(timeout=10) for _ in range(2))
    pusher.stop()
    assert "telemetry_not_sent" in capsys.readouterr().err


@pytest.mark.parametrize(("traces", "metrics"), [(False, False), (False, True), (True, False)])
def test_each_signal_has_its_switch(traces: bool, metrics: bool) -> None:
    with OtlpServer() as collector:
        with start_telemetry(settings(collector, traces=traces, metrics=metrics)), span("work"):
            assert recording() is traces
        assert (bool(collector.spans), bool(collector.metrics)) == (traces, metrics)


def test_with_no_collector_nothing_is_started_or_imported() -> None:
    before = threading.active_count()
    with start_telemetry(TelemetrySettings()) as telemetry, span("work"):
        assert not recording()
    telemetry.stop()
    assert threading.active_count() == before


def test_at_ratio_zero_only_traces_that_a_caller_records_are_recorded() -> None:
    with OtlpServer() as collector:
        with start_telemetry(settings(collector, sample_ratio=0, metrics=False)), span("work"):
            assert not int(traceparent()[-2:], 16) & 1
            with (
                extracted({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
                span("asked"),
            ):
                pass
        assert [found.name for found in collector.spans] == ["asked"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(ConfigInvalid, match=r"pip install .*\[otel\]"):
        start_telemetry(settings("http://127.0.0.1:4318"))
    assert not recording()


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "ftp://host", "http://", "http://host?x=1", "http://a b"])
def test_an_endpoint_that_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        settings(url)


def test_a_silent_collector_holds_up_neither_work_nor_the_stop(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    with OtlpServer() as collector, collector.silent():
        telemetry = start_telemetry(settings(collector))
        started = time.perf_counter()
        for _ in range(6000):  # more than wait, and more than a batch
            with span("work"):
                pass
        worked = time.perf_counter() - started
        telemetry.stop(seconds=0.3)
        stopped = time.perf_counter() - started - worked
    assert worked < A_BUSY_MACHINE_S
    assert stopped < A_BUSY_MACHINE_S
    logged = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert logged == ["telemetry_left_unsent"]


def _a_batch(name: str) -> None:
    """As many spans as are sent at once, without waiting for more."""
    for _ in range(512):
        with span(name):
            pass


def test_a_dead_collector_is_told_once_and_its_return_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    with OtlpServer() as collector:
        collector.status = 400
        with start_telemetry(settings(collector, metrics=False, otlp_headers={"Authorization": SECRET})):
            for count in (1, 2, 3):
                _a_batch("lost")
                collector.wait_for(lambda count=count: len(collector.requests) >= count or None)  # type: ignore[misc]
            collector.status = 200
            _a_batch("kept")
            collector.wait_for_span("kept")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["telemetry_export_failed", "telemetry_export_recovered"]
    assert all(line["collector"] in collector.url for line in lines)


def test_a_collector_that_nobody_runs_costs_a_bounded_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    telemetry = start_telemetry(settings(f"http://127.0.0.1:{port}"))
    with span("work"):
        pass
    started = time.perf_counter()
    telemetry.stop(seconds=0.3)
    assert time.perf_counter() - started < A_BUSY_MACHINE_S


def test_every_kind_of_metric_is_translated() -> None:
    registry = CollectorRegistry()
    Gauge("g", "A gauge.", ["x"], registry=registry).labels("1").set(2.5)
    Gauge("unused", "Never set.", ["x"], registry=registry)
    Counter("c", "A counter.", registry=registry).inc(4)
    Summary("s", "A summary, of which OTLP gets nothing.", registry=registry).observe(1)
    histogram = Histogram("h", "A histogram.", buckets=[1, 2], registry=registry)
    for value in (0.5, 1.5, 1.7, 9):
        histogram.observe(value)
    from opentelemetry.sdk.resources import Resource

    (resource,) = metrics_data(Resource({}), registry).resource_metrics
    found: dict[str, Any] = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert "unused" not in found
    assert found["g"].data.data_points[0].value == 2.5
    assert found["g"].data.data_points[0].attributes == {"x": "1"}
    (counted,) = found["c"].data.data_points
    assert (counted.value, found["c"].data.is_monotonic) == (4, True)
    assert 0 < counted.start_time_unix_nano <= counted.time_unix_nano
    (spread,) = found["h"].data.data_points
    assert (list(spread.bucket_counts), list(spread.explicit_bounds)) == ([1, 2, 1], [1.0, 2.0])
    assert (spread.count, spread.sum) == (4, 12.7)
