"""The section `mcp`, and mcp.json in both of its shapes."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    computed_field,
    field_validator,
    model_validator,
)

from core.settings import Document, Strict
from core.settings.editors import flat_or_under
from core.settings.explain import Subject, explain
from core.settings.problems import printable
from nodes.mcp_tools.dialects import Remark, ServerReading, ServersRead, read_servers

_SECRET_NAME = re.compile(r"auth|credential|key|pass|secret|token", re.IGNORECASE)
FILLED_IN = ("_atlas_user",)
"""Parameters that get the user's name at every server: no tool has this one by chance."""
_ON_REQUEST = ("_atlas_user", "username")  # of a server that asks for it: elsewhere it may be anybody's name
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
    callers_may_lower_approval: bool = Field(
        False,
        description="Let a caller's `approval: auto` run tools of require_approval without a person's word.",
    )

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
    include_tools: list[str] | None = None
    exclude_tools: list[str] = Field(default_factory=list)
    fill_username: bool = False
    timeout_s: float | None = Field(None, gt=0, le=3600)
    init_timeout_s: float | None = Field(
        None, gt=0, le=3600, description="Longest start of this server, each time, seconds."
    )
    max_result_bytes: int | None = Field(None, ge=1024)
    parallel_calls: bool | None = Field(
        None,
        description="Whether calls of one answer go to the server together; by default those of tools that"
        " it calls read-only.",
    )
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

    def offers(self, tool: str) -> bool:
        """False for a tool that the entry keeps back; `*` is every tool."""
        included = self.include_tools is None or _names(self.include_tools, tool)
        return included and not _names(self.exclude_tools, tool)

    @property
    def filled_in(self) -> tuple[str, ...]:
        """The parameters that we fill in with the user's name, whatever the model wrote."""
        return _ON_REQUEST if self.fill_username else FILLED_IN

    def needs_approval(self, tool: str) -> bool:
        return _names(self.require_approval, tool)


def _names(tools: Collection[str], tool: str) -> bool:
    return "*" in tools or tool in tools


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
    """mcp.json in any known dialect: `{"mcpServers": {name: entry}}`, or `{name: entry}` at the top.

    One server never costs the others: `servers` has those that can be used,
    `unusable` says of each other one why, and `remarks` what was passed over.
    """

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra=flat_or_under("mcpServers", entry_keys=frozenset({"command", "url", "enabled"})),
    )

    servers: dict[str, ServerEntry] = Field(default_factory=dict, alias="mcpServers")
    _reading: ServersRead | None = PrivateAttr(None)
    _unusable: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _server_by_server(
        cls, data: Any, read: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise ValueError('must be an object: {"mcpServers": {name: entry}} or {name: entry}')  # noqa: TRY004  # pydantic reports ValueError only
        context = info.context or {}
        reading = read_servers(data, environ=context.get("environ") or {}, folder=context.get("base"))
        entries: dict[str, ServerEntry] = {}
        unusable: dict[str, str] = {}
        for server in reading.servers:
            found = server.reason or validated(server, reading, context)
            if isinstance(found, str):
                unusable[server.name] = found
            else:
                entries[server.name] = found
        file = read({"mcpServers": entries})
        file._reading, file._unusable = reading, unusable
        return file

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way, which mypy does not know
    @property
    def unusable(self) -> dict[str, str]:
        """Servers that are left out, each with the reason. A part of the values: a reload looks at it too."""
        return self._unusable

    @property
    def remarks(self) -> Mapping[str, tuple[Remark, ...]]:
        """What was passed over or read in some way, by server."""
        servers = self._reading.servers if self._reading else ()
        return {server.name: server.remarks for server in servers if server.remarks}

    @property
    def reading(self) -> ServersRead | None:
        """How the file was understood; None where none was read."""
        return self._reading

    def place(self, server: str, *keys: str) -> tuple[str, ...]:
        """The key path of a server as it stands in the file."""
        return (*(self._reading.shape.path if self._reading else ("mcpServers",)), server, *keys)


def validated(server: ServerReading, reading: ServersRead, context: Mapping[str, Any]) -> ServerEntry | str:
    """The entry, or why it cannot be used."""
    try:
        return ServerEntry.model_validate(dict(server.data), context=dict(context))
    except ValidationError as error:
        ground = context.get("document") or Document("mcp.json", None, {})
        subject = Subject(ServerEntry, dict(server.data), ground, (*reading.shape.path, server.name))
        problems = explain(error, subject)
        return "; ".join(_below_server(problem.key, str(problem), server.name) for problem in problems)


def _below_server(key: str, sentence: str, server: str) -> str:
    """From the key below the server on: file and line are told where they are known."""
    _, _, problem = sentence.partition(f"{key}: ")
    below = key.partition(f"{printable(server)}.")[2]
    return f"{below}: {problem}" if below else problem
