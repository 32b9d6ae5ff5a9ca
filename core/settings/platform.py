"""Sections of waystation.yaml that belong to no module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from core.settings.auth import AuthSettings
from core.settings.declare import Named, Section, Strict
from core.settings.roles import RoleSettings, models_of_tags

__all__ = [
    "SECTIONS",
    "AuthSettings",
    "LimitSettings",
    "Protocol",
    "ServerSettings",
    "StorageSettings",
    "TelemetrySettings",
    "ThreadSettings",
]


Protocol = Literal["openai", "langgraph", "mcp", "ag-ui", "a2a"]
"""Wires that the service can speak beside its own routes; `server.protocols.table` has each."""


def _off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


def _origin(value: str) -> str:
    """As browsers write it: scheme, host and port in lower case."""
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", value.lower()):
        raise ValueError("is no origin; write scheme, host and port, such as https://chat.example.com")
    return value.lower()


class ServerSettings(RoleSettings):
    """Where the service listens, and what its processes do."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    public_url: str = Field("", description="How others reach the service; empty: from host and port.")
    protocols: list[Protocol] = Field(
        default_factory=lambda: list(get_args(Protocol)),
        description="Wires of other clients that are served; [] serves none of them.",
    )
    mcp_gateway: bool = Field(
        False,
        description="Offer the tools of all tool servers at /mcp too, each to those who may use it.",
    )
    console: bool = Field(True, description="Serve pages for people at `/`.")
    event_fields: Literal["new", "old"] = Field(
        "new",
        description="Names of fields of events; `old`: those of the release before, `text` for `delta`, "
        "`content` and `detail`.",
    )
    cors_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(
        default_factory=list,
        max_length=50,
        description="Origins whose pages may call the service from a browser, such as https://chat.example.com.",
    )
    drain_seconds: float = Field(
        5, ge=0, le=600, description="How long running turns may go on after SIGTERM, seconds."
    )
    stop_seconds: float = Field(
        20,
        ge=1,
        le=600,
        description="How long a process may take to end behind `drain_seconds`; then it ends as it is, and "
        "others go on with its runs.",
    )
    stream_stall_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="Drop a stream whose reader takes nothing for so long; it can come back.",
    )
    header_bytes: int = Field(
        65_536, ge=4096, le=1_048_576, description="Largest head of a request: its first line and headers."
    )
    header_seconds: float = Field(
        20,
        gt=0,
        le=3600,
        description="Close a connection after so long without a request, or within its headers.",
    )
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        le=3600,
        description="Close a connection so long after an answer; more than a balancer in front waits itself.",
    )
    body_seconds: float = Field(
        20, gt=0, le=3600, description="How long a body may take before `body_rate` counts, seconds."
    )
    body_rate: int = Field(
        4096, ge=1, le=1_000_000_000, description="Slowest that a body may come after that, bytes a second."
    )
    waiting_connections: int = Field(
        2000,
        ge=1,
        le=1_000_000,
        description="Connections without a request in one process; for one more, the longest idle is closed.",
    )
    allow_remote: bool = Field(
        False,
        description="Listen on another address than loopback although nobody has to log in; "
        "auth.trust_everyone must say so too.",
    )


class StorageSettings(Strict):
    """The database for threads and checkpoints."""

    url: str = Field(
        "",
        description="sqlite:///PATH or postgresql://USER@HOST/NAME, several servers as HOST:PORT,HOST:PORT; "
        "empty: waystation.db in WAYSTATION_HOME.",
    )
    listen_url: str = Field(
        "",
        description="The server's own address, postgresql://..., where `url` leads to a pooler that shares "
        "connections by transaction; empty: `url`.",
    )
    statement_seconds: float = Field(
        0,
        ge=0,
        le=86_400,
        description="PostgreSQL ends a statement that takes longer; 0: as the server or the role says.",
    )
    idle_transaction_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="PostgreSQL cuts a connection that does nothing for so long inside of a transaction; "
        "0: as the server or the role says.",
    )


class TelemetrySettings(Strict):
    """Logs, spans and metrics."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line that is logged."
    )
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text.")
    debug_events: bool = Field(
        False, description="Tell cache and policy decisions as notices among a run's events."
    )
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$",
        description="Base URL of an OTLP/HTTP collector, such as http://localhost:4318; empty: send nothing.",
    )
    otlp_headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="HTTP headers for the collector, such as its authorization."
    )
    otlp_interval_s: float = Field(
        30, ge=1, le=3600, description="Seconds between two exports of the metrics."
    )
    service_name: str = Field(
        "waystation", min_length=1, max_length=128, description="Name of this service at the collector."
    )
    sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the traces begun here that is recorded; a caller's choice wins.",
    )
    traces: bool = Field(True, description="Send spans, where a collector is named.")
    metrics: bool = Field(True, description="Send metrics, where a collector is named.")


USERS_STREAMS = 20
EVERYBODYS_STREAMS = 1000


class LimitSettings(Strict):
    """Limits; each answers with a clear error."""

    body_bytes: int = Field(1_048_576, ge=1024, description="Largest JSON request body.")
    content_bytes: int = Field(
        33_554_432,
        ge=1024,
        description="The same where messages may hold images and files: under /chat, /v1, /ag-ui and /a2a, "
        "and for runs under /langgraph.",
    )
    upload_bytes: int = Field(262_144_000, ge=1024, description="Largest uploaded file.")
    json_depth: int = Field(64, ge=8, le=500, description="Deepest nesting of a JSON body.")
    message_bytes: int = Field(65_536, ge=256, description="Longest message, in UTF-8 bytes.")
    steps: int = Field(25, ge=1, le=200, description="Model calls in one turn.")
    tool_calls: int = Field(50, ge=1, le=1000, description="Tool calls in one turn.")
    turn_seconds: float = Field(600, gt=0, description="Longest turn.")
    queued_runs: int = Field(20, ge=0, le=1000, description="Runs that may wait for one thread.")
    threads_per_user: int = Field(
        10_000, ge=0, description="Threads that one user may have; 0 for any number."
    )
    items_per_user: int = Field(1000, ge=0, description="Items of clients' stores that one user may keep.")
    items_bytes_per_user: int = Field(16_777_216, ge=0, description="Bytes that these may have together.")
    streams_per_user: int | None = Field(
        None,
        ge=1,
        description=f"Turns that one user may have going at once; empty: {USERS_STREAMS}, and "
        f"{EVERYBODYS_STREAMS} where nobody logs in, since everybody is one user then.",
    )


class ThreadSettings(Strict):
    """What becomes of threads over time."""

    titles: Literal["first_line", "model"] = Field(
        "first_line",
        description="Where titles come from: the first message's first line, or the model that answered it.",
    )
    keep_days: float = Field(
        0, ge=0, le=36_500, description="Delete threads that nobody used for so many days; 0 keeps them."
    )
    keep_events_hours: float = Field(
        24,
        gt=0,
        le=87_600,
        description="Keep what ended runs told for so many hours; streams replay from it.",
    )
    keep_runs_days: float = Field(
        0,
        ge=0,
        le=36_500,
        description="Forget runs that ended so many days ago, but the newest of a thread; 0 keeps them.",
    )
    orphans: Literal["auto", "resume", "end"] = Field(
        "auto",
        description="What becomes of a run whose process died or was stopped: go on with it or end it; "
        "auto goes on with background runs and those with on_disconnect=continue.",
    )
    keep_tasks_days: float = Field(
        30, gt=0, le=36_500, description="Forget background tasks that ended so many days ago."
    )
    window: Annotated[int, Field(ge=1, le=1000)] | Literal["all"] = Field(
        20,
        description="Newest turns that a thread's state keeps (up to a quarter more), or `all`; "
        "the transcript keeps every message.",
    )
    summary: Annotated[Literal["digest", "off"], BeforeValidator(_off)] = Field(
        "digest",
        description="Notes for the model on what it is not sent any more: questions, and how answers began.",
    )
    checkpoint_turns: int = Field(
        50, ge=0, le=100_000, description="Newest turns whose checkpoints are kept; 0 keeps all."
    )


class ModulesSettings(Strict):
    """Which modules run."""

    disabled: list[str] = Field(
        default_factory=list, description="Names of modules that are not started, `rag` for example."
    )


def _switched_off(settings: ModulesSettings) -> Iterator[Named]:
    for place, name in enumerate(settings.disabled):
        yield ("disabled", place), "modules", name


MODULES = Section("modules", ModulesSettings, names=_switched_off)
SECTIONS = (
    Section("server", ServerSettings, names=models_of_tags),
    Section("auth", AuthSettings),
    Section("storage", StorageSettings),
    Section("threads", ThreadSettings),
    Section("telemetry", TelemetrySettings),
    Section("limits", LimitSettings, live=("*",)),
)
