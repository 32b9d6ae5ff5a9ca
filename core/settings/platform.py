"""Sections of waystation.yaml that belong to no module."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.settings.declare import Section, Strict


class ServerSettings(Strict):
    """Where the service listens."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    public_url: str = Field("", description="How others reach the service; empty: from host and port.")
    allow_remote: bool = Field(
        False, description="Listen on another address than loopback although nobody has to log in."
    )


class AuthSettings(Strict):
    """Who the callers are. Mode `none`: everybody on this machine is `user`."""

    mode: Literal["none"] = Field("none", description="How callers are told apart.")
    user: str = Field("local", pattern=r"^[A-Za-z0-9_.@-]{1,64}$", description="The user in mode none.")
    groups: list[str] = Field(default_factory=list, description="That user's groups.")


class StorageSettings(Strict):
    """The database for threads and checkpoints."""

    url: str = Field("", description="sqlite:///PATH; empty: waystation.db in WAYSTATION_HOME.")


class TelemetrySettings(Strict):
    """Logs."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"


class LimitSettings(Strict):
    """Limits; each answers with a clear error."""

    body_bytes: int = Field(1_048_576, ge=1024, description="Largest JSON request body.")
    upload_bytes: int = Field(262_144_000, ge=1024, description="Largest uploaded file.")
    json_depth: int = Field(64, ge=8, le=500, description="Deepest nesting of a JSON body.")
    message_bytes: int = Field(65_536, ge=256, description="Longest message, in UTF-8 bytes.")
    steps: int = Field(25, ge=1, le=200, description="Model calls in one turn.")
    tool_calls: int = Field(50, ge=1, le=1000, description="Tool calls in one turn.")
    turn_seconds: float = Field(600, gt=0, description="Longest turn.")
    streams_per_user: int = Field(20, ge=1, description="Turns that one user may have going at once.")


SECTIONS = (
    Section("server", ServerSettings),
    Section("auth", AuthSettings),
    Section("storage", StorageSettings),
    Section("telemetry", TelemetrySettings),
    Section("limits", LimitSettings),
)
