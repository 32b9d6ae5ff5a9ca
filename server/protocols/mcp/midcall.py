"""Questions that a tool asks in the middle of a call of the gateway, for the person behind the client.

A question ends the attempt, and its answer begins another, which is given the answers so far: so nobody
holds the tool's session while a person thinks, as in a turn.
"""

from __future__ import annotations

from typing import Any

from langgraph.errors import GraphInterrupt

from nodes.mcp_tools import answers
from nodes.mcp_tools.calls import cleaned
from nodes.mcp_tools.interrupts import AT_MOST, fingerprint_of
from nodes.mcp_tools.models import Answer, Question
from server.protocols.mcp import people

KIND = answers.ELICITATION


class QuestionPending(GraphInterrupt):
    """A question has no answer yet.

    Args:
        form: It as a form of the client.
        mark: The same for the same question.
    """

    def __init__(self, form: dict[str, Any], mark: str) -> None:
        super().__init__()
        self.form = form
        self.mark = mark


class Answers:
    """The answers of a call's questions, in their order; see `models.Ask`.

    Args:
        given: What was answered in attempts before.
        said: What the person says to the question with this mark, unread.
    """

    def __init__(self, given: list[list[Any]] | None = None, said: tuple[str, object] | None = None) -> None:
        self.given = given or []
        self._said = said

    def hear(self, mark: str, said: object) -> None:
        """The person's answer to the question that ended the attempt."""
        self._said = (mark, said)

    async def __call__(self, question: Question) -> Answer:
        """Raises Asked."""
        mark = fingerprint_of(question)
        if not mark or question.number >= AT_MOST:
            return Answer("decline")
        if question.number < len(self.given):
            before, action, content = self.given[question.number]
            if before == mark:
                return Answer(action, content)
            del self.given[question.number :]
        answer = self._read(question, mark)
        self.given.append([mark, answer.action, answer.content])
        return answer

    def _read(self, question: Question, mark: str) -> Answer:
        said, self._said = self._said, None
        if said is None or said[0] != mark:
            raise QuestionPending(_form(question), mark)
        read = people.answer_to(KIND, said[1])
        if read["action"] != "accept":
            return Answer(read["action"])
        content = cleaned(read["content"])
        if problem := answers.content_problem(content, question.schema):
            raise QuestionPending(_form(question, problem), mark)
        return Answer("accept", content)


def _form(question: Question, problem: str = "") -> dict[str, Any]:
    before = f"The answer was not taken: {problem.rstrip('.')}. " if problem else ""
    return people.form_of({"kind": KIND, "detail": before + question.message, "schema": question.schema})
