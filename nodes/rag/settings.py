"""The section `rag` of waystation.yaml."""

from __future__ import annotations

from pydantic import Field

from core.settings import Strict


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
    timeout_s: float = Field(
        20, gt=0, le=600, description="How long a turn waits for a local source; a remote one has its own."
    )
    passage_chars: int = Field(4000, ge=100, description="Longest text of a passage; the rest is cut.")
    max_file_bytes: int = Field(5_000_000, ge=1000, description="Larger files are not indexed.")
    refresh: bool = Field(
        True,
        description="Take over files of local sources that change while the service runs.",
    )
