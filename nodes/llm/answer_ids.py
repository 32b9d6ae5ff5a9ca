"""The ids of answers: the same where a run begins a step again, and another one for each answer of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from uuid import UUID, uuid5

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.config import get_config
from langgraph.runtime import Runtime

from core.access import RunContext
from core.correlation import current, given_answers
from nodes.llm.models import new_answer_id

_ANSWERS = UUID("5f0e5f8c-6b1e-4d55-9f2c-0f6c8f7f3a11")
# Between the parts of a namespace of LangGraph, where a step is a graph itself.
_WITHIN = "|"


def answer_id(runtime: Runtime[RunContext], messages: Sequence[BaseMessage]) -> str:
    """The same where a run begins a step again, as after a crash: its readers go on with what they have.

    By how many answers the turn has and the branch. LangGraph's own id of the task is another one where the
    thread had to be mended before; in a graph within a step there is nothing else that tells tasks apart.
    A further step may take an answer out of the turn, or ask something else, and have the model asked once
    more: that is another answer, whatever the turn has then.
    """
    step, run_id = runtime.execution_info, current().run_id
    if step is None or not run_id:
        return new_answer_id()
    place = step.task_id
    if _WITHIN not in step.checkpoint_ns:
        turn = takewhile(lambda message: not isinstance(message, HumanMessage), reversed(messages))
        made = sum(isinstance(message, AIMessage) for message in turn)
        place = f"{get_config()['metadata'].get('langgraph_path')} {made}"
    taken = given_answers() | {message.id for message in messages}
    return next(found for found in _ids(f"{run_id} {place}") if found not in taken)


def _ids(place: str) -> Iterator[str]:
    yield f"ai-{uuid5(_ANSWERS, place).hex}"
    for again in count(2):
        yield f"ai-{uuid5(_ANSWERS, f'{place} {again}').hex}"
