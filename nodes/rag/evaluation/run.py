"""Ask each question as a turn would, and keep what is shown for it."""

from __future__ import annotations

from collections.abc import Sequence

from core.access import Principal
from nodes.rag.client import RAGClient
from nodes.rag.errors import SourceUnavailable
from nodes.rag.evaluation.figures import JudgedQuestion
from nodes.rag.evaluation.questions import Question
from nodes.rag.models import Progress


async def index(rag: RAGClient, sources: Sequence[str], *, progress: Progress | None = None) -> None:
    """Bring those of `sources` that are local up to date, so that what is judged is what is on disk.

    Raises:
        SourceNotFound, IndexBusy: As `RAGClient.ingest` does.
    """
    entries = rag.entries()
    for name in sources:
        if name in entries and entries[name].type == "local":
            await rag.ingest(name, progress=progress)


async def judge(
    rag: RAGClient,
    questions: Sequence[Question],
    *,
    principal: Principal,
    limit: int | None = None,
    progress: Progress | None = None,
) -> list[JudgedQuestion]:
    """What is shown to `principal` for each question.

    Args:
        questions: With the sources that each is asked of.
        limit: Passages at most; None for the setting of a turn.

    Raises:
        SourceNotFound: A question names a source that the user may not use.
        SourceUnavailable: A source failed: figures without it would be of something else.
    """
    found = []
    for number, item in enumerate(questions):
        if progress:
            progress(number, len(questions), item.question[:60])
        answer = await rag.query(item.question, sources=item.source, principal=principal, limit=limit)
        for source, reason in answer.failed:
            raise SourceUnavailable(f"source '{source}' failed at '{item.question[:60]}': {reason}")
        found.append(JudgedQuestion.of(item, answer.passages))
    if progress:
        progress(len(questions), len(questions), "")
    return found
