"""Read what modules declared, whole, and report every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from core.settings.declare import ConfigFile, Section
from core.settings.document import Document, read_document
from core.settings.explain import explain
from core.settings.interpolate import interpolate
from core.settings.places import Places
from core.settings.problems import ConfigErrors, ConfigProblem, nearest

MAIN_FILE = "waystation.yaml"
ENV_PREFIX = "WAYSTATION_"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Context:
    """What a reading of the configuration needs: folders, environment, keyword overrides by section."""

    places: Places
    environ: Mapping[str, str]
    overrides: Mapping[str, Mapping[str, Any]]

    @classmethod
    def current(cls, places: Places | None = None, **overrides: Mapping[str, Any]) -> Context:
        return cls(places or Places.from_environ(), dict(os.environ), overrides)


def load_file(
    declared: ConfigFile, context: Context
) -> tuple[BaseModel, list[ConfigProblem], Document | None]:
    """Read one declared file; a file that does not exist gives the model's defaults.

    Returns:
        The validated model (its defaults when there are problems), what is
        wrong, and the document that was read.
    """
    found = [context.places.config_dir / name for name in declared.names]
    existing = [path for path in found if path.is_file()]
    if not existing:
        return declared.model(), [], None
    try:
        document = read_document(existing[0])
    except ConfigErrors as error:
        return declared.model(), list(error.problems), None
    value, problems = _validate(declared.model, document, context.environ)
    return value, problems, document


def _validate(
    model: type[M], document: Document, environ: Mapping[str, str]
) -> tuple[M, list[ConfigProblem]]:
    data, missing = interpolate(document.data, environ)
    problems = [_unset(document, key, name) for key, name in missing]
    base = document.path.parent if document.path else None
    try:
        value = model.model_validate(data, context={"base": base})
    except ValidationError as error:
        return model(), problems + explain(error, model, document)
    return value, problems


def _unset(document: Document, key: tuple[str | int, ...], name: str) -> ConfigProblem:
    return ConfigProblem(
        file=document.file,
        line=document.line(key),
        key=".".join(map(str, key)),
        message=f"the environment variable {name} is not set",
        remedy=f"set it, or write ${{{name}:-default}}",
    )


def load_sections(
    sections: Sequence[Section], context: Context, *, partial: bool = False
) -> tuple[dict[str, BaseModel], list[ConfigProblem], Document | None]:
    """Read waystation.yaml, then the environment, then keyword overrides; the last one wins.

    Args:
        sections: What is known. A module that runs alone knows only its own.
        partial: Leave out keys of sections that are not declared instead of
            reporting them (for a module that runs alone).
    """
    path = context.places.config_dir / MAIN_FILE
    problems: list[ConfigProblem] = []
    document = None
    if path.is_file():
        try:
            document = read_document(path)
        except ConfigErrors as error:
            return {s.name: s.model() for s in sections}, list(error.problems), None
    known = {section.name for section in sections}
    data, found = _file_values(document, context.environ, known, partial=partial)
    problems += found
    if not partial:
        problems += _unknown_variables(context.environ, known)
    values, more = _merge(sections, data, context, document)
    return values, problems + more, document


def _file_values(
    document: Document | None, environ: Mapping[str, str], known: set[str], *, partial: bool
) -> tuple[dict[str, Any], list[ConfigProblem]]:
    if document is None:
        return {}, []
    if not isinstance(document.data, dict):
        return {}, [ConfigProblem(document.file, "must be a mapping of sections", line=1)]
    raw = {k: v for k, v in document.data.items() if k in known}
    data, missing = interpolate(raw, environ)
    problems = [_unset(document, key, name) for key, name in missing]
    if not partial:
        problems += [_unknown_section(document, str(k), known) for k in document.data if k not in known]
    return {k: v for k, v in data.items() if v is not None}, problems


def _unknown_section(document: Document, name: str, known: set[str]) -> ConfigProblem:
    near = nearest(name, sorted(known))
    remedy = f"did you mean '{near}'?" if near else f"known sections: {', '.join(sorted(known))}"
    return ConfigProblem(document.file, "unknown section", name, document.line((name,)), None, remedy)


def _unknown_variables(environ: Mapping[str, str], known: set[str]) -> list[ConfigProblem]:
    problems = []
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        section = name.removeprefix(ENV_PREFIX).split("__")[0].lower()
        if section not in known:
            near = nearest(section, sorted(known))
            remedy = f"did you mean {ENV_PREFIX}{near.upper()}__…?" if near else "unset it"
            problems.append(
                ConfigProblem(f"environment variable {name}", f"unknown section '{section}'", remedy=remedy)
            )
    return problems


def _merge(
    sections: Sequence[Section], data: dict[str, Any], context: Context, document: Document | None
) -> tuple[dict[str, BaseModel], list[ConfigProblem]]:
    settings = _settings_class(sections, data, context)
    try:
        merged = settings()
    except ValidationError as error:
        problems = explain(error, settings, document, context.environ)
        return {s.name: s.model() for s in sections}, problems
    return {s.name: getattr(merged, s.name) for s in sections}, []


def _settings_class(
    sections: Sequence[Section], data: dict[str, Any], context: Context
) -> type[BaseSettings]:
    class Layered(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            overrides = {k: dict(v) for k, v in context.overrides.items()}
            return (
                InitSettingsSource(settings_cls, overrides),
                env_settings,
                InitSettingsSource(settings_cls, data),
            )

    fields: dict[str, Any] = {s.name: (s.model, s.model()) for s in sections}
    return create_model("Settings", __base__=Layered, **fields)
