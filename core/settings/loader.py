"""Read what modules declared, whole, and report every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from core.settings.declare import ConfigFile, Section
from core.settings.document import Document, read_document
from core.settings.environment import read_environment
from core.settings.explain import Subject, explain
from core.settings.interpolate import interpolate
from core.settings.layers import Layers
from core.settings.places import Places
from core.settings.problems import GIVEN, ConfigErrors, ConfigProblem, KeyPath, dotted, nearest, printable

MAIN_FILE = "waystation.yaml"


@dataclass(frozen=True, slots=True)
class Context:
    """What a reading of the configuration needs: folders, environment, keyword overrides by section.

    `given` are entries of files that stand beside those of the file, by kind of file and key within it.
    """

    places: Places
    environ: Mapping[str, str]
    overrides: Mapping[str, Mapping[str, Any]]
    given: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @classmethod
    def current(cls, places: Places | None = None, **overrides: Mapping[str, Any]) -> Context:
        return cls(places or Places.from_environ(), dict(os.environ), overrides)


def load_file(
    declared: ConfigFile, context: Context
) -> tuple[BaseModel | None, list[ConfigProblem], Document | None]:
    """Read one declared file; a file that does not exist is read as an empty one.

    Returns:
        The validated model (None when there are problems), what is wrong, and
        the document that was read.
    """
    path = _existing(context.places.config_dir, declared.names)
    if path is None:
        empty = Document(declared.names[0], context.places.config_dir / declared.names[0], {})
        value, problems = _validate(declared, empty, context)
        return value, problems, None
    try:
        document = read_document(path)
    except ConfigErrors as error:
        return None, list(error.problems), None
    value, problems = _validate(declared, document, context)
    return value, problems, document


def _existing(folder: Path, names: Sequence[str]) -> Path | None:
    """The first that stands there, be it a folder or a broken link: those are told, not passed over."""
    return next((folder / name for name in names if os.path.lexists(folder / name)), None)


def _validate(
    declared: ConfigFile, document: Document, context: Context
) -> tuple[BaseModel | None, list[ConfigProblem]]:
    model, environ = declared.model, context.environ
    data, missing = (document.data, []) if declared.own_variables else interpolate(document.data, environ)
    data = _joined(data, context.given.get(declared.kind, {}))
    unset = _unset(document, missing, environ)
    base = document.path.parent if document.path else None
    try:
        value = model.model_validate(data, context={"base": base, "environ": environ, "document": document})
    except ValidationError as error:
        return None, _once(unset, explain(error, Subject(model, data, document)))
    return (None if unset else value), unset


def _joined(data: Any, given: Mapping[str, Mapping[str, Any]]) -> Any:
    """What stands in a file, and the entries that were given beside it; of one name, the given one counts."""
    if not isinstance(data, dict):
        return data
    kept = {key: data.get(key) or {} for key in given}
    joined = {key: {**kept[key], **given[key]} for key in given if isinstance(kept[key], dict)}
    return {**data, **joined}


def _unset(
    document: Document, missing: Sequence[tuple[KeyPath, str]], environ: Mapping[str, str]
) -> list[ConfigProblem]:
    return [
        ConfigProblem(
            file=document.file,
            line=document.line(key),
            key=dotted(key),
            message=f"the environment variable {name} is not {'text' if environ.get(name) else 'set'}",
            remedy=f"set it, or write ${{{name}:-default}}",
        )
        for key, name in missing
    ]


def _once(first: list[ConfigProblem], then: list[ConfigProblem]) -> list[ConfigProblem]:
    """Without what follows from a problem already told of the same key."""
    told = {problem.key for problem in first}
    return first + [problem for problem in then if problem.key not in told]


def load_sections(
    sections: Sequence[Section], context: Context, *, partial: bool = False
) -> tuple[dict[str, BaseModel], list[ConfigProblem], Layers]:
    """Read waystation.yaml, then the environment, then keyword overrides; the last one wins.

    Args:
        sections: What is known. A module that runs alone knows only its own.
        context: Folders, environment and overrides.
        partial: Leave out keys of sections that are not declared instead of
            reporting them (for a module that runs alone).

    Returns:
        The validated sections by name (one with problems is missing), what is
        wrong, and the layers that the values came from.
    """
    known = {section.name for section in sections}
    path = _existing(context.places.config_dir, [MAIN_FILE])
    try:
        document = read_document(path) if path else None
    except ConfigErrors as error:
        return {}, list(error.problems), Layers()
    file, problems = _file_layer(document, context.environ, known)
    environment, strange = read_environment(context.environ, sections, partial=partial)
    overrides = {name: value for name, value in context.overrides.items() if name in known}
    layers = Layers(document, file, environment, overrides)
    problems += strange + layers.shape_problems()
    if not partial:
        problems += _unknown_sections(document, context.overrides, known)
    values, found = _sections(sections, layers)
    return values, _once(problems, found), layers


def _file_layer(
    document: Document | None, environ: Mapping[str, str], known: set[str]
) -> tuple[dict[str, Any], list[ConfigProblem]]:
    if document is None:
        return {}, []
    # A section with nothing under it, all commented out, is an empty one.
    raw = {name: value for name, value in document.data.items() if name in known and value is not None}
    data, missing = interpolate(raw, environ)
    return data, _unset(document, missing, environ)


def _unknown_sections(
    document: Document | None, overrides: Mapping[str, Any], known: set[str]
) -> list[ConfigProblem]:
    in_file = [(name, *document.place((name,))) for name in document.data] if document else []
    in_keywords = [(name, GIVEN, None) for name in overrides]
    problems = []
    for name, file, line in [*in_file, *in_keywords]:
        if name not in known:
            near = nearest(name, sorted(known))
            remedy = f"did you mean '{near}'?" if near else f"known sections: {', '.join(sorted(known))}"
            problems.append(ConfigProblem(file, "unknown section", printable(name), line, None, remedy))
    return problems


def _sections(
    sections: Sequence[Section], layers: Layers
) -> tuple[dict[str, BaseModel], list[ConfigProblem]]:
    merged = layers.merged()
    values: dict[str, BaseModel] = {}
    problems: list[ConfigProblem] = []
    for section in sections:
        data = merged.get(section.name, {})
        try:
            values[section.name] = section.model.model_validate(data)
        except ValidationError as error:
            problems += explain(error, Subject(section.model, data, layers, (section.name,)))
    return values, problems
