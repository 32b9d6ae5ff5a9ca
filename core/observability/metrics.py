"""The numbers behind `/metrics`. No content, user or thread ever becomes a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

DURATION = Histogram(
    "waystation_operation_seconds",
    "Time an operation took.",
    ["operation", "outcome"],
    # A look at the cache takes a millisecond, a turn up to ten minutes.
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
    registry=REGISTRY,
)
TURNS = Counter("waystation_turns_total", "Turns that ended, by status.", ["status"], registry=REGISTRY)
RUNNING = Gauge("waystation_turns_running", "Turns that run now.", registry=REGISTRY)
TOKENS = Counter("waystation_tokens_total", "Tokens that models counted.", ["kind"], registry=REGISTRY)
CITATIONS = Counter(
    "waystation_citations_total",
    "Numbers of passages in answers: those that were offered, and those that a model invented.",
    ["kind"],
    registry=REGISTRY,
)
DECISIONS = Counter(
    "waystation_access_decisions_total",
    "What was asked of core.access, and what it said; 'own' asks of an owner, 'use' of groups and level.",
    ["question", "answer"],
    registry=REGISTRY,
)
EXPORTS = Counter(
    "waystation_telemetry_exports_total",
    "Batches sent to the OTLP collector.",
    ["signal", "outcome"],
    registry=REGISTRY,
)

# The two client metrics of the GenAI conventions, with the buckets that these name.
GENAI_TOKENS = Histogram(
    "gen_ai_client_token_usage",
    "Number of input and output tokens used.",
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
    buckets=[4**power for power in range(14)],
    registry=REGISTRY,
)
GENAI_SECONDS = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "GenAI operation duration.",
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"],
    buckets=[0.01 * 2**power for power in range(14)],
    registry=REGISTRY,
)


def metrics_text() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
