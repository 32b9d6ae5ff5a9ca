"""The section `mcp`, and mcp.json in both of its shapes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from core.settings import Strict, nearest
from core.settings.editors import flat_or_under

_SECRET_NAME = re.compile(r"auth|credential|key|pass|secret|token", re.IGNORECASE)
_TRANSPORTS = {"streamable_http": "http", "streamable-http": "http"}


class McpSettings(Strict):
    """Tool servers as a whole; mcp.json lists them one by one."""

    start_timeout_s: float = Field(
        10, gt=0, le=300, description="Longest start of a server, seconds; and longest wait of a turn for it."
    )
    first_start_timeout_s: float | None = Field(
        None,
        gt=0,
        le=900,
        description="Longest start of a server that was not up yet, seconds: it may be fetched first. "
        "Empty: start_timeout_s where that is set, else 60.",
    )
    call_timeout_s: float | None = Field(
        None, gt=0, le=3600, description="Longest tool call, seconds; empty: that of resilience.server."
    )
    max_result_bytes: int = Field(262_144, ge=1024, description="Longest text of a tool's result.")
    bundled: bool = Field(True, description="Offer the servers that ship in tools/.")
    plugins: list[Path] = Field(default_factory=list, description="More folders of plugins.")
    disabled: list[str] = Field(default_factory=list, description="Servers that are switched off.")

    @property
    def first_start_s(self) -> float:
        """What `first_start_timeout_s` comes to."""
        if self.first_start_timeout_s is not None:
            return self.first_start_timeout_s
        return self.start_timeout_s if "start_timeout_s" in self.model_fields_set else 60.0


class OAuthConfig(Strict):
    """How an OAuth login for a server is made."""

    scopes: str | list[str] | None = None
    client_name: str | None = None
    callback_port: int | None = Field(None, ge=1, le=65535)


def _as_written(schema: dict[str, Any]) -> None:
    """Describe an entry for editors: a command may be a list, and `transport` has older names."""
    known = schema["properties"]
    known["command"]["anyOf"].append({"type": "array", "items": {"type": "string"}, "minItems": 1})
    known["transport"]["anyOf"][0]["enum"] += _TRANSPORTS
    known["type"] = {**known["transport"], "description": "The old name of `transport`."}


class ServerEntry(Strict):
    """One MCP server, whatever shape it was written in.

    `timeout_s` and `max_result_bytes` are None where the section's defaults hold.
    """

    model_config = ConfigDict(json_schema_extra=_as_written)

    enabled: bool = True
    description: str | None = None
    short_description: str | None = None
    author: str | None = None
    help_email: str | None = None
    groups: list[str] = Field(default_factory=list)
    command: str | None = None
    args: list[str] = Field(default_factory=list)
    cwd: Path | None = None
    env: dict[str, SecretStr] | None = None
    url: str | None = Field(None, pattern=r"^https?://")
    transport: Literal["stdio", "http", "sse"] | None = None
    headers: dict[str, SecretStr] | None = None
    auth_type: Literal["none", "api_key", "bearer", "jwt", "oauth"] = "none"
    auth_token: SecretStr | None = None
    auth_header: str = "X-API-Key"
    oauth_config: OAuthConfig | None = None
    compliance_level: str | None = None
    require_approval: list[str] = Field(default_factory=list)
    timeout_s: float | None = Field(None, gt=0, le=3600)
    init_timeout_s: float | None = Field(
        None, gt=0, le=900, description="Longest start of this server, each time, seconds."
    )
    max_result_bytes: int | None = Field(None, ge=1024)
    restart: Literal["on-failure", "never"] = "on-failure"

    @model_validator(mode="before")
    @classmethod
    def _one_shape(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return _with_transport(_with_command(dict(data)))

    @field_validator("cwd")
    @classmethod
    def _beside_the_file(cls, cwd: Path | None, info: ValidationInfo) -> Path | None:
        base = (info.context or {}).get("base")
        return Path(base, cwd) if cwd is not None and base is not None else cwd

    @model_validator(mode="after")
    def _fits_its_transport(self) -> Self:
        if self.transport == "stdio" and self.url is not None:
            raise ValueError("transport stdio takes a command, not a url")
        if self.transport in ("http", "sse") and self.command is not None:
            raise ValueError(f"transport {self.transport} takes a url, not a command")
        return self

    @property
    def complete(self) -> bool:
        """False for an entry that only changes a plugin of the same name."""
        return self.command is not None or self.url is not None

    def secrets(self) -> Iterator[str]:
        """What must not be seen; a variable such as LANG is none, although we never show it either."""
        if self.auth_token is not None:
            yield self.auth_token.get_secret_value()
        for name, value in {**(self.env or {}), **(self.headers or {})}.items():
            if _SECRET_NAME.search(name):
                yield value.get_secret_value()

    def needs_approval(self, tool: str) -> bool:
        return "*" in self.require_approval or tool in self.require_approval


def _with_command(data: dict[str, Any]) -> dict[str, Any]:
    command = data.get("command")
    if isinstance(command, list):
        if not command or not all(isinstance(part, str) for part in command):
            raise ValueError("command must be a string, or a list of strings that is not empty")
        data["command"], data["args"] = command[0], [*command[1:], *(data.get("args") or [])]
    if data.get("command") == "python":
        data["command"] = sys.executable  # the interpreter that has the mcp package
    return data


def _with_transport(data: dict[str, Any]) -> dict[str, Any]:
    old_name = data.pop("type", None)
    given = data.get("transport", old_name)
    if old_name is not None and given != old_name:
        raise ValueError("type is the old name of transport; write only one of them")
    if isinstance(given, str):
        data["transport"] = _TRANSPORTS.get(given, given)
    elif data.get("command"):
        data["transport"] = "stdio"
    elif data.get("url"):
        data["transport"] = "http"
    return data


class McpFile(Strict):
    """mcp.json: `{"mcpServers": {name: entry}}`, or `{name: entry}` at the top."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra=flat_or_under("mcpServers", entry_keys=frozenset({"command", "url", "enabled"})),
    )

    servers: dict[str, ServerEntry] = Field(default_factory=dict, alias="mcpServers")

    @model_validator(mode="before")
    @classmethod
    def _one_shape(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ValueError('must be an object: {"mcpServers": {name: entry}} or {name: entry}')  # noqa: TRY004  # pydantic reports ValueError only
        if not data or "mcpServers" in data or "servers" in data:
            return data
        for key in data:
            if nearest(str(key), ["mcpServers"]):
                raise ValueError(f"unknown key '{key}'; did you mean 'mcpServers'?")
        return {"mcpServers": data}

    @field_validator("servers")
    @classmethod
    def _usable_names(cls, servers: dict[str, ServerEntry]) -> dict[str, ServerEntry]:
        for name in servers:
            if not name.strip() or len(name) > 64 or not name.isprintable():
                raise ValueError(f"the server name {name[:80]!r} must have 1 to 64 printable characters")
        return servers
