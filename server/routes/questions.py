"""What turns of the caller wait for a person with, across threads, and what was decided."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from core.cursor import LONGEST
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.routes.common import OpenAgent, problems
from server.shapes.form import Json, Shape
from server.shapes.runs import AskedQuestion, QuestionCount

router = APIRouter(prefix="/questions", tags=["questions"], responses=problems(InvalidRequest))

Behind = Annotated[
    str | None, Query(max_length=LONGEST, description="`cursor` of the last row of the page before.")
]


@router.get("")
async def list_questions(
    *,
    request: Request,
    response: Response,
    agent: OpenAgent,
    who: Caller,
    status: Annotated[
        Literal["waiting", "decided"],
        Query(description="Those that wait, or what was decided: calls of tools, and answers to questions."),
    ] = "waiting",
    limit: Annotated[
        int, Query(ge=1, le=200, description="Threads (waiting) or runs (decided); each may have several.")
    ] = 50,
    after: Behind = None,
) -> Annotated[list[Json], Shape(list[AskedQuestion])]:
    """Questions to you on all threads, newest first; `POST /runs/{run_id}/resume` answers by `question.id`.

    The header Link leads to the next page.
    """
    questions = agent.threads.questions
    read = questions.waiting if status == "waiting" else questions.decided
    found = await read(who, limit=limit, after=after)
    if len({row["run_id"] or row["thread_id"] for row in found}) == limit:
        query = request.url.include_query_params(after=found[-1]["cursor"]).query
        response.headers["Link"] = f'<?{query}>; rel="next"'
    return found


@router.get("/count")
async def count_questions(agent: OpenAgent, who: Caller) -> Annotated[dict[str, int], Shape(QuestionCount)]:
    """How many questions wait for you."""
    return {"waiting": await agent.threads.questions.count(who)}
