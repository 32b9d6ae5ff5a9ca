"""The section `rag` of waystation.yaml, and `sources.yaml` (or `rag-sources.json`): the sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from core.installed import PREFIX, shipped_path
from core.languages import CODES, LANGUAGES
from core.settings import ConfigFile, Section, Strict
from core.settings.editors import flat_or_under
from nodes.rag.endpoints import EmbedderEntry, RerankerEntry, http_url
from nodes.rag.rights import cleaned

_ENTRY_KEYS = frozenset({"type", "path", "url", "command"})


class RagSettings(Strict):
    """How passages are found."""

    limit: int = Field(4, ge=1, le=50, description="Passages per turn, over all sources.")
    chunk_tokens: int = Field(
        200, ge=20, le=4000, description="Size of a chunk, in tokens of about four characters."
    )
    min_score: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Score, 0 to 1, that the best passage of a local source must reach for any to be shown; "
        "0.5 is what a word tells that a single chunk holds. One with every word of the question always is.",
    )
    search: Literal["both", "words", "meaning"] = Field(
        "both",
        description="How local sources are searched: by words, by meaning (with an embedder of the source or "
        "the extra `embed`), or by both where there is one.",
    )
    timeout_s: float = Field(
        20, gt=0, le=600, description="How long a turn waits for a local source; a remote one has its own."
    )
    passage_chars: int = Field(4000, ge=100, description="Longest text of a passage; the rest is cut.")
    max_file_bytes: int = Field(5_000_000, ge=1000, description="Larger text files are not indexed.")
    max_document_bytes: int = Field(
        50_000_000, ge=1000, description="Larger PDF, Office, mail and EPUB files are not indexed."
    )
    document_timeout_s: float = Field(
        60, gt=0, le=3600, description="How long reading one such file may take; it is left out then."
    )
    kept_text_bytes: int = Field(
        256_000_000,
        ge=0,
        description="What was taken out of such files is kept so far, so that an index that is built anew "
        "does not read them again; 0 keeps nothing.",
    )
    index: str = Field(
        "",
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]+(/[A-Za-z0-9._/-]*)?)?$",
        description="Where indexes are shared, as `s3://bucket/prefix`: one home writes them, others read "
        "what it published. Address and keys are those of `file_storage.s3`. Empty: each has its own.",
    )
    index_role: Literal["write", "read"] = Field(
        "write",
        description="With `index`: `write` writes where no other home does, and reads otherwise; `read` only "
        "ever reads.",
    )
    index_poll_s: float = Field(
        5, ge=0.05, le=600, description="With `index`: how often is looked for what was published."
    )
    refresh: bool = Field(
        True,
        description="Take over files of local sources that change while the service runs.",
    )
    rewrite: Literal["auto", "off"] = Field(
        "auto",
        description="Search for a question that needs what was said before it (`and in winter?`) as it would "
        "be asked alone: the turn's model says how, in a call of its own. Without a real model, the question "
        "before is searched for too.",
    )
    rewrite_timeout_s: float = Field(
        4,
        gt=0,
        le=60,
        description="How long the model may take for that; then the question is taken as it is.",
    )
    completions: Literal["passages", "answer"] = Field(
        "passages",
        description="What POST /api/v1/rag/completions says: the passages as they are, or an answer that "
        "the model writes from them.",
    )


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class _Common(Strict):
    display_name: str = ""
    description: str = ""
    groups: list[str] = Field(default_factory=list, description="Any of them may use it; empty: everyone.")
    compliance_level: str = ""
    enabled: bool = True

    def secrets(self) -> Iterator[str]:
        """What must not be seen in a log."""
        yield from ()


class AccessRule(Strict):
    """Documents of a local source that some of those who may search it may not see."""

    path: str = Field(
        min_length=1,
        max_length=1000,
        description="Folder, file or glob below the folders of the source, as `hr/**`: `*` is anything, over "
        "folders too, `?` a character, and a folder is all below it. Case does not count.",
    )
    groups: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Any of them may see it, of those who may search the source."
    )

    @field_validator("path")
    @classmethod
    def _below_the_source(cls, value: str) -> str:
        if value.startswith(("/", "~")) or ".." in value.split("/"):
            raise ValueError(f"'{value}' must start below the folders of the source, as 'hr/**' does")
        if value != value.strip():
            raise ValueError(f"'{value}' begins or ends with a space; '?' stands for one that is meant")
        if not cleaned(value):
            raise ValueError("names no path; '**' is all documents")
        return value


class AccessRules(Strict):
    """Who may see which documents of a local source."""

    rules: list[AccessRule] = Field(
        default_factory=list,
        description="Each that matches a document has to be met; what none matches is for all who may search "
        "the source.",
    )


class LocalSource(_Common):
    """Files on this machine, in an index of ours."""

    type: Literal["local"] = "local"
    path: Annotated[
        list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str]), Field(min_length=1)
    ] = Field(
        description="Folders, files or globs, relative to the folder of this file; "
        f"`{PREFIX}docs/*.md` is what ships with Waystation."
    )
    chunk_tokens: int | None = Field(None, ge=20, le=4000)
    embedder: EmbedderEntry | None = None
    reranker: RerankerEntry | None = None
    language: str = Field(
        "", description="Language of all its texts, as `german` or `de`; empty: that of each is found out."
    )
    synonyms: list[Annotated[list[str], Field(min_length=2)]] = Field(
        default_factory=list,
        description="What people call by several names, a list for each thing: `[[leave, holiday, PTO]]`. "
        "A question with one of them is searched for with the others, too.",
    )
    behind: list[str] = Field(
        default_factory=list,
        description="Names or globs of documents that stand behind the others, such as reports and minutes.",
    )
    access: AccessRules = Field(
        default_factory=AccessRules, description="Documents that are not for all who may search the source."
    )
    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _remember_base(self, info: ValidationInfo) -> LocalSource:
        base = (info.context or {}).get("base")
        if base is not None:
            self._base = Path(base)
        return self

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str) -> str:
        name = CODES.get(value.lower(), value.lower())
        if name not in ("", *LANGUAGES):
            raise ValueError(f"'{value}' is no language that is known here; one of {', '.join(LANGUAGES)}")
        return name

    @property
    def patterns(self) -> list[str]:
        """The paths, made absolute."""
        return [str(shipped_path(path) or self._base / path) for path in self.path]

    def secrets(self) -> Iterator[str]:
        for endpoint in (self.embedder, self.reranker):
            if endpoint is not None:
                yield endpoint.api_key.get_secret_value()


class HttpSource(_Common):
    """A retrieval service that we ask over HTTP."""

    type: Literal["http"] = "http"
    url: str
    bearer_token: SecretStr | None = None
    default_model: str = ""
    top_k: int = Field(4, ge=1, le=100)
    timeout: float = Field(60, gt=0)
    strip_domain: bool = Field(False, description="Send `ada` for `ada@example.com`.")
    api_version: Literal["v1", "v2"] = "v1"
    discovery_endpoint: str = ""
    query_endpoint: str = ""
    default_mode: Literal["raw", "synthesized"] = "raw"

    def secrets(self) -> Iterator[str]:
        if self.bearer_token is not None:
            yield self.bearer_token.get_secret_value()

    @field_validator("url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return http_url(value).rstrip("/")


class McpSource(_Common):
    """A retrieval service behind an MCP server; its keys are those of an entry of mcp.json."""

    type: Literal["mcp"] = "mcp"
    short_description: str = ""
    author: str = ""
    help_email: str = ""
    command: str | list[str] | None = None
    args: list[str] = Field(default_factory=list)
    cwd: str | None = None
    env: dict[str, str] | None = None
    url: str | None = None
    transport: str | None = None
    headers: dict[str, SecretStr] | None = None
    auth_type: Literal["none", "api_key", "bearer", "jwt", "oauth"] = "none"
    auth_token: SecretStr | None = None
    auth_header: str = "X-API-Key"
    oauth_config: dict[str, Any] | None = None
    require_approval: list[str] = Field(default_factory=list)
    timeout_s: float = Field(30, gt=0)
    max_result_bytes: int = Field(262_144, ge=1024)
    restart: Literal["on-failure", "never"] = "on-failure"
    top_k: int = Field(4, ge=1, le=100)
    default_mode: Literal["raw", "synthesized"] = "raw"
    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @model_validator(mode="after")
    def _remember_base(self, info: ValidationInfo) -> McpSource:
        base = (info.context or {}).get("base")
        if base is not None:
            self._base = Path(base)
        return self

    @model_validator(mode="after")
    def _can_be_reached(self) -> McpSource:
        if not self.command and not self.url:
            raise ValueError("needs a command (stdio) or a url (http, sse)")
        return self

    @property
    def server(self) -> dict[str, Any]:
        """What of it is an entry of mcp.json."""
        own = {"type", "display_name", "top_k", "default_mode", "groups", "compliance_level"}
        entry = {k: v for k, v in self if k not in own and v is not None and k in self.model_fields_set}
        cwd = {"cwd": str(self._base / self.cwd)} if self.cwd else {}
        return {**entry, "timeout_s": self.timeout_s, "max_result_bytes": self.max_result_bytes, **cwd}

    def secrets(self) -> Iterator[str]:
        if self.auth_token is not None:
            yield self.auth_token.get_secret_value()
        yield from (value.get_secret_value() for value in (self.headers or {}).values())


SourceEntry = LocalSource | HttpSource | McpSource


def _as_written(schema: dict[str, Any]) -> None:
    """Describe the file for editors: entries at the top level or under `sources`."""
    flat_or_under("sources", entry_keys=_ENTRY_KEYS)(schema)


class SourcesFile(BaseModel):
    """`{"<source>": entry}`; the entries stand at the top level of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_as_written)

    sources: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")],
        Annotated[SourceEntry, Field(discriminator="type")],
    ] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        """Wrap the flat file; a file that has the one key `sources` may also be written that way."""
        if not isinstance(data, dict):
            return data
        inner = data.get("sources")
        if len(data) == 1 and isinstance(inner, dict) and not _ENTRY_KEYS.intersection(inner):
            data = inner
        return {"sources": {name: _typed(entry) for name, entry in data.items()}}


def _typed(entry: Any) -> Any:
    """An entry without a type has the one that its keys leave open."""
    if isinstance(entry, dict) and "type" not in entry:
        kind = "local" if "path" in entry else "mcp" if "command" in entry else ""
        return {**entry, "type": kind} if kind else entry
    return entry


SECTIONS = (Section("rag", RagSettings),)
FILES = (ConfigFile("sources", ("sources.yaml", "rag-sources.json"), SourcesFile, live=True),)
