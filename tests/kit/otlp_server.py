"""An OpenTelemetry collector for tests: takes OTLP over HTTP on loopback, and keeps what came.

    with OtlpServer() as collector:
        ... export to collector.url ...
        found = collector.wait_for_span("chat gpt-4o")
        assert found.attributes["gen_ai.usage.input_tokens"] == 12

`collector.status = 503` refuses, `collector.silent()` takes requests and never answers until the block ends.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """A span as the collector got it; ids in hex, "" for no parent."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    failed: bool
    status_text: str
    events: list[str]
    resource: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MetricSeen:
    """One data point. `kind`: sum, gauge or histogram; the value of a histogram is its sum."""

    name: str
    kind: str
    unit: str
    attributes: dict[str, Any]
    value: float
    count: int = 0
    buckets: list[int] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)


class OtlpServer:
    """The collector. `spans` and `metrics` hold everything so far, `requests` the headers of each request."""

    def __init__(self) -> None:
        self.spans: list[SpanSeen] = []
        self.metrics: list[MetricSeen] = []
        self.requests: list[dict[str, str]] = []
        self.status = 200
        self._changed = threading.Condition()
        self._answering = threading.Event()
        self._answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL, for `telemetry.otlp_endpoint`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Inside the block requests are read and not answered."""
        self._answering.clear()
        try:
            yield
        finally:
            self._answering.set()

    def wait_for_span(self, name: str, *, seconds: float = 10) -> SpanSeen:
        """The first span of that name.

        Raises:
            TimeoutError: None came.
        """
        return self.wait_for(
            lambda: next((span for span in self.spans if span.name == name), None), f"span {name!r}", seconds
        )

    def wait_for_metric(
        self, name: str, attributes: Mapping[str, str] | None = None, *, seconds: float = 10
    ) -> MetricSeen:
        """The newest data point of a metric that has these attributes.

        Raises:
            TimeoutError: None came.
        """
        return self.wait_for(lambda: self._metric(name, attributes or {}), f"metric {name!r}", seconds)

    def _metric(self, name: str, attributes: Mapping[str, str]) -> MetricSeen | None:
        for metric in reversed(self.metrics):
            if metric.name == name and attributes.items() <= metric.attributes.items():
                return metric
        return None

    def wait_for(self, look: Callable[[], T | None], what: str = "it", seconds: float = 10) -> T:
        """What `look` finds, looked for again after every request.

        Raises:
            TimeoutError: Nothing was found.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while (found := look()) is None:
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise TimeoutError(f"the collector did not get {what}; it has {self._summary()}")
            return found

    def _summary(self) -> str:
        return f"{[span.name for span in self.spans]}, {sorted({metric.name for metric in self.metrics})}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """One request; gives the status to answer."""
        with self._changed:
            self.requests.append(headers)
            if self.status == 200 and self._answering.is_set():
                self._keep(path, body)
            self._changed.notify_all()
        self._answering.wait()
        return self.status

    def _keep(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif path == "/v1/metrics":
            self.metrics += _metrics(ExportMetricsServiceRequest.FromString(body))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = collector.take(self.path, headers, body)
                try:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # the exporter gave up, which some tests want

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
                """Says nothing."""

        return Handler


def _spans(request: ExportTraceServiceRequest) -> Iterator[SpanSeen]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _span(span, resource)


def _span(span: Span, resource: dict[str, Any]) -> SpanSeen:
    return SpanSeen(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        failed=span.status.code == 2,
        status_text=span.status.message,
        events=[event.name for event in span.events],
        resource=resource,
    )


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[MetricSeen]:
    for group in request.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                yield from _points(metric)


def _points(metric: Metric) -> Iterator[MetricSeen]:
    kind = metric.WhichOneof("data") or ""
    for point in getattr(metric, kind).data_points:
        seen = (metric.name, kind, metric.unit, _attributes(point.attributes))
        if kind == "histogram":
            yield MetricSeen(
                *seen, point.sum, point.count, list(point.bucket_counts), list(point.explicit_bounds)
            )
        else:
            yield MetricSeen(*seen, getattr(point, point.WhichOneof("value")))


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
