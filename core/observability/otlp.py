"""Send spans and metrics to an OpenTelemetry collector, over OTLP/HTTP.

Everything here happens in threads of its own: a collector that is gone, slow or silent costs a turn nothing,
is told in the log once until it is back, and holds up a stop for `STOP_SECONDS` at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import structlog

from core.errors import ConfigInvalid
from core.installed import install_line
from core.observability import tracing
from core.observability.metrics import EXPORTS
from core.observability.redaction import never_log

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from core.settings.platform import TelemetrySettings

log = structlog.get_logger()

STOP_SECONDS = 3.0
# What one batch may take, its retries included.
_EXPORT_SECONDS = 5.0
_SPANS_EVERY_MS = 2000
_SPANS_WAITING = 4096


class Telemetry:
    """What is exported while this is open. Nothing, where no collector is named.

    Args:
        stops: What ends each export, with the seconds it may take; run side by side.
    """

    def __init__(self, stops: Sequence[Callable[[], None]] = ()) -> None:
        self._stops = list(stops)

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Send what is left and end, in `seconds` at most; what is not sent by then is lost."""
        stops, self._stops = self._stops, []
        if not stops:
            return
        tracing.set_tracer(None)
        # Daemons: one that still talks to a silent collector must not keep the process.
        threads = [threading.Thread(target=stop, name="otlp-stop", daemon=True) for stop in stops]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            log.warning("telemetry_left_unsent", seconds=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_telemetry(settings: TelemetrySettings) -> Telemetry:
    """Begin to export as the settings say. Call `stop` at the end, off the event loop.

    Raises:
        ConfigInvalid: A collector is named, and the extra `otel` is not installed.
    """
    if not settings.otlp_endpoint or not (settings.traces or settings.metrics):
        return Telemetry()
    _check_installed()
    for value in settings.otlp_headers.values():
        never_log(value.get_secret_value())
    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        # They complain at every batch; `_Watch` says it once.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stops = []
    if settings.traces:
        stops.append(_start_traces(settings))
    if settings.metrics:
        stops.append(_start_metrics(settings))
    return Telemetry(stops)


def _check_installed() -> None:
    try:
        # Here, and in the functions below: a start without a collector does not wait for the SDK.
        import opentelemetry.exporter.otlp.proto.http  # noqa: PLC0415 - see above
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - see above
    except ImportError as error:
        raise ConfigInvalid(
            f"telemetry.otlp_endpoint: OTLP needs the extra 'otel': {install_line('otel')}"
        ) from error


def _start_traces(settings: TelemetrySettings) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - slow
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - slow
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - slow
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415 - slow

    exporter = OTLPSpanExporter(
        endpoint=_url(settings, "traces"), headers=_headers(settings), timeout=_EXPORT_SECONDS
    )
    # Not the process's global provider: libraries would then record through it, with contents that we
    # neither chose nor looked through.
    provider = TracerProvider(
        resource=_resource(settings),
        sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            _watched(exporter, ExportWatch("traces", settings.otlp_endpoint)),
            max_queue_size=_SPANS_WAITING,
            schedule_delay_millis=_SPANS_EVERY_MS,
        )
    )
    tracing.set_tracer(provider.get_tracer("waystation"))
    return provider.shutdown


def _start_metrics(settings: TelemetrySettings) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - slow
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415 - slow

    from core.observability.otlp_metrics import metrics_data  # noqa: PLC0415 - imports the SDK

    exporter = OTLPMetricExporter(
        endpoint=_url(settings, "metrics"), headers=_headers(settings), timeout=_EXPORT_SECONDS
    )
    resource = _resource(settings)
    watch = ExportWatch("metrics", settings.otlp_endpoint)

    def push() -> None:
        done = exporter.export(metrics_data(resource))
        watch.saw(ok=done is MetricExportResult.SUCCESS)

    pusher = Pusher(push, every_s=settings.otlp_interval_s)
    return pusher.stop


class Pusher:
    """Calls `push` again and again in a thread, and once more at the end."""

    def __init__(self, push: Callable[[], None], *, every_s: float) -> None:
        self._push = push
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._once()
        self._once()

    def _once(self) -> None:
        try:
            self._push()
        except Exception:
            # The edge of the thread: one number that cannot be sent must not end all sending.
            log.exception("telemetry_not_sent", signal="metrics")

    def stop(self) -> None:
        """Push once more and wait for that."""
        self._ended.set()
        self._thread.join()


class ExportWatch:
    """Counts exports, and tells the log when they begin to fail and when they work again."""

    def __init__(self, signal: str, endpoint: str) -> None:
        self._signal = signal
        self._host = urlsplit(endpoint).netloc.rpartition("@")[2]
        self._failing = False

    def saw(self, *, ok: bool) -> None:
        """One export ended."""
        EXPORTS.labels(self._signal, "ok" if ok else "failed").inc()
        if ok is not self._failing:
            return
        self._failing = not ok
        if ok:
            log.info("telemetry_export_recovered", signal=self._signal, collector=self._host)
        else:
            log.warning("telemetry_export_failed", signal=self._signal, collector=self._host)


def _watched(exporter: SpanExporter, watch: ExportWatch) -> SpanExporter:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415 - slow

    class Watched(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            done = exporter.export(spans)
            watch.saw(ok=done is SpanExportResult.SUCCESS)
            return done

        def shutdown(self) -> None:
            exporter.shutdown()

    return Watched()


def _resource(settings: TelemetrySettings) -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - slow

    return Resource.create({"service.name": settings.service_name})


def _url(settings: TelemetrySettings, signal: str) -> str:
    return f"{settings.otlp_endpoint.rstrip('/')}/v1/{signal}"


def _headers(settings: TelemetrySettings) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in settings.otlp_headers.items()}
