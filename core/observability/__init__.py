"""What happens in the service: logs, metrics and spans, without contents, users or secrets.

| file | has |
|---|---|
| logging | one JSON object a line, libraries included |
| redaction | no secret in a log line |
| metrics | the registry behind `/metrics` |
| tracing, spans, conventions | spans by OpenTelemetry's GenAI conventions |
| otlp, otlp_metrics | sending both to a collector (extra `otel`) |
"""

from typing import TYPE_CHECKING

from core.names import names_from

if TYPE_CHECKING:
    from core.observability.logging import configure_logging, quiet_logging, reset_logging
    from core.observability.metrics import (
        DURATION,
        REGISTRY,
        RUNNING,
        TOKENS,
        TURNS,
        metrics_text,
    )
    from core.observability.otlp import Telemetry, start_telemetry
    from core.observability.redaction import clean, never_log
    from core.observability.tracing import (
        Span,
        extracted,
        file_span,
        inject,
        model_span,
        node_span,
        recording,
        retrieval_span,
        span,
        tool_span,
        trace_id,
        traceparent,
        track_duration,
        turn_span,
    )

__all__ = [
    "DURATION",
    "REGISTRY",
    "RUNNING",
    "TOKENS",
    "TURNS",
    "Span",
    "Telemetry",
    "clean",
    "configure_logging",
    "extracted",
    "file_span",
    "inject",
    "metrics_text",
    "model_span",
    "never_log",
    "node_span",
    "quiet_logging",
    "recording",
    "reset_logging",
    "retrieval_span",
    "span",
    "start_telemetry",
    "tool_span",
    "trace_id",
    "traceparent",
    "track_duration",
    "turn_span",
]

__getattr__ = names_from(__name__, "redaction", "logging", "metrics", "tracing", "otlp")
