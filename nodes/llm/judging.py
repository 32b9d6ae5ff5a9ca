"""An answer that has to be something: judged at its end, asked for once more, and an error then.

An answer that has to be JSON leaves when it is whole and judged, in one piece: what was said cannot be taken
back, and a reader would put the second try behind the first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from core.errors import InvalidInput
from core.forms import response_format_in
from nodes.llm.answer_rules import REQUIRED, AnswerRules, plain
from nodes.llm.citations import offered_only
from nodes.llm.errors import AnswerMismatch
from nodes.llm.models import OFFLINE, LLMChunk, LLMRequest, LLMResponse, Usage

Stream = AsyncIterator[LLMChunk | LLMResponse]
_WORDS = frozenset({"", "auto", "none"})
_AGAIN = "Your last answer was not what was asked for: {why}. Answer again. {told}"


def answering(ask: Callable[[LLMRequest], Stream], request: LLMRequest) -> Stream:
    """The stream of an answer as its request wants it: judged, and without numbers that no passage has."""
    stream = as_wanted(ask, request) if request.wanted else ask(request)
    # In JSON a number in brackets is a list.
    if request.documents and not (request.wanted and request.wanted.form):
        return offered_only(stream, request.documents)
    return stream


async def as_wanted(ask: Callable[[LLMRequest], Stream], request: LLMRequest) -> Stream:
    """The answer, judged; asked for once more where it is not what is wanted.

    Args:
        ask: Asks the model; its last item is the response.

    Raises:
        AnswerMismatch: The second answer is not it either.
    """
    wanted, tries = request.wanted or AnswerRules(), list[LLMResponse]()
    asked: LLMRequest | None = request
    while asked is not None:
        async with aclosing(cast(Any, ask(asked))) as items:
            async for item in items:
                if isinstance(item, LLMResponse):
                    tries.append(item)
                elif item.reasoning:
                    yield LLMChunk(reasoning=item.reasoning)
        asked = _again(request, wanted, tries)
    found = _whole(wanted, tries)
    if found.text:
        yield LLMChunk(text=found.text)
    yield found


def _again(request: LLMRequest, wanted: AnswerRules, tries: Sequence[LLMResponse]) -> LLMRequest | None:
    """The request that asks once more; None where the last answer is what is wanted.

    Raises:
        AnswerMismatch: There is no use in it.
    """
    last = tries[-1]
    why = _problem(wanted, last)
    if not why:
        return None
    # The offline model says the same again.
    if len(tries) > 1 or last.finish == "length" or last.usage.model == OFFLINE:
        raise AnswerMismatch(_said(tries, why))
    told = HumanMessage(_AGAIN.format(why=why, told=wanted.instruction).strip())
    return replace(request, messages=[*request.messages, last.message, told])


def _problem(wanted: AnswerRules, response: LLMResponse) -> str:
    return wanted.problem(response.text, [call["name"] for call in response.tool_calls])


def _said(tries: Sequence[LLMResponse], why: str) -> str:
    model = f"the model '{tries[-1].usage.model}'"
    if tries[-1].finish == "length":
        return f"the answer of {model} reached its limit before it was whole; raise max_tokens"
    again = ", asked again," if len(tries) > 1 else ""
    return f"the answer of {model}{again} is not what was asked for: {why}"


def _whole(wanted: AnswerRules, tries: Sequence[LLMResponse]) -> LLMResponse:
    """The last response, without a fence around its JSON, and with what all tries used."""
    last, message = tries[-1], tries[-1].message
    if wanted.form is not None:
        text = "" if message.tool_calls else plain(last.text)
        message = message.model_copy(update={"content": text})
    if len(tries) == 1:
        return replace(last, message=message)
    why = _problem(wanted, tries[0])
    said = f"The model's first answer was not what was asked for ({why}); it was asked again."
    remarks = (*last.remarks, ("asked_again", said))
    return replace(last, message=message, usage=_sum(tries), remarks=remarks)


def _sum(tries: Sequence[LLMResponse]) -> Usage:
    first, last = tries[0].usage, tries[-1].usage
    known = first.cost is not None and last.cost is not None
    return Usage(
        first.input_tokens + last.input_tokens,
        first.output_tokens + last.output_tokens,
        last.model,
        (first.cost or 0.0) + (last.cost or 0.0) if known else None,
    )


def one_call(response: LLMResponse) -> LLMResponse:
    """The response with its first call alone, where only one at a time was asked for."""
    if len(response.tool_calls) < 2:
        return response
    message = response.message.model_copy(update={"tool_calls": response.message.tool_calls[:1]})
    left = len(response.tool_calls) - 1
    remark = ("calls_left_out", f"The model wanted {left} more calls at once; one at a time was asked for.")
    return replace(response, message=message, remarks=(*response.remarks, remark))


def wanted_in(
    config: Mapping[str, Any], tools: Sequence[Mapping[str, Any]], messages: Sequence[BaseMessage]
) -> AnswerRules:
    """What the next answer of a turn has to be, by the turn's choices.

    Raises:
        InvalidInput: It has to call a tool that is not offered.
    """
    form, choice = response_format_in(config), config.get("tool_choice")
    names = [str(tool["function"]["name"]) for tool in tools]
    return AnswerRules(form, call_wanted(choice, names, first=not _has_called(messages)))


def _has_called(messages: Sequence[BaseMessage]) -> bool:
    """Whether this turn has had an answer that calls a tool."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return False
        if isinstance(message, AIMessage) and message.tool_calls:
            return True
    return False


def call_wanted(choice: Any, names: Sequence[str], *, first: bool) -> str:
    """The call that an answer has to make, by `tool_choice` of the turn.

    Args:
        names: Of the tools that are offered.
        first: It is the turn's first answer; later ones are free, or a turn would have no end.

    Raises:
        InvalidInput: No such tool is offered.
    """
    if not first or not isinstance(choice, str) or choice in _WORDS:
        return ""
    if not names or choice not in (REQUIRED, *names):
        shown = f"there are: {', '.join(names[:20])}" if names else "none is offered"
        raise InvalidInput(f"tool_choice: no tool '{choice[:80]}' can be called in this turn; {shown}")
    return choice
