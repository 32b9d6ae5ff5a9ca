"""What a user is told of a source: of a local one, as much as its documents that they may see tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.access import Principal
from nodes.rag.models import Passage, SourceInfo
from nodes.rag.shared.index import NOT_YET
from nodes.rag.source import Source


def described(name: str, source: Source, principal: Principal) -> SourceInfo:
    """The source as its entry and its index describe it."""
    info = SourceInfo(
        name=name,
        type=source.entry.type,
        display_name=source.entry.display_name or name,
        description=source.entry.description,
        compliance_level=source.entry.compliance_level,
    )
    if source.indexer is None:
        return info
    stats = source.indexer.stats(source.shown_to(principal))
    return replace(
        info,
        documents=stats.files,
        chunks=stats.chunks,
        skipped=stats.skipped,
        reasons=stats.reasons,
        problem=stats.problem,
        index=_shared(source),
    )


def why_nothing(source: Source, principal: Principal) -> list[Passage] | str:
    """No passages, or why a source that has nothing to be found has none."""
    if source.indexer is None:
        return []
    stats = source.indexer.stats(source.shown_to(principal))
    not_yet = "it is not indexed yet" if source.writes else NOT_YET
    return stats.problem or ([] if stats.indexed else not_yet)


def _shared(source: Source) -> Mapping[str, Any] | None:
    """No names of machines."""
    if source.shared is None:
        return None
    status = source.shared.status()
    return {key: status[key] for key in ("role", "generation", "age_s")}
