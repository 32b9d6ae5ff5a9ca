"""Settings models of every form that the modules use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, SecretStr, StrictFloat, model_validator

from core.settings import ConfigFile, Section, Strict


class ShopSettings(Strict):
    """A section with a bit of everything."""

    host: str = "127.0.0.1"
    port: int = Field(80, ge=0, le=65535)
    share: float = 0.5
    open: bool = True
    tags: list[str] = Field(default_factory=list)
    colour: Literal["red", "green", "blue"] = "red"
    api_key: SecretStr | None = None
    sign_with: SecretStr = SecretStr("")
    max_tokens: int = 5
    url: str = Field("", pattern=r"^(https?://.+)?$", description="Address of the shop.")
    limits: dict[str, int] = Field(default_factory=dict)


class DoorSettings(Strict):
    width: int = 90


class LocalSource(Strict):
    type: Literal["local"] = "local"
    path: str
    enabled: bool = True


class HttpSource(Strict):
    type: Literal["http"]
    url: str
    top_k: int = 4
    enabled: bool = True


class SourcesFile(RootModel[dict[str, Annotated[LocalSource | HttpSource, Field(discriminator="type")]]]):
    root: dict[str, Annotated[LocalSource | HttpSource, Field(discriminator="type")]] = Field(
        default_factory=dict
    )


class ServerEntry(Strict):
    command: str | list[str] | None = None
    timeout_s: float = 30
    wait_s: StrictFloat | float | bool = False
    env: dict[str, str] = Field(default_factory=dict)
    enabled: bool = True

    @model_validator(mode="after")
    def _has_a_command(self) -> ServerEntry:
        if self.command is None:
            raise ValueError("needs a command")
        return self


class ServersFile(Strict):
    """Both shapes of mcp.json."""

    servers: dict[str, ServerEntry] = Field(default_factory=dict, alias="mcpServers")

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, data: Any) -> Any:
        return data if not isinstance(data, dict) or "mcpServers" in data else {"mcpServers": data}


class LicenceFile(Strict):
    """A file that must be there."""

    owner: str


SECTIONS = (Section("shop", ShopSettings), Section("front_door", DoorSettings))
SOURCES = ConfigFile("sources", ("sources.yaml", "rag-sources.json"), SourcesFile)
SERVERS = ConfigFile("servers", ("mcp.json",), ServersFile)
LICENCE = ConfigFile("licence", ("licence.yaml",), LicenceFile)
