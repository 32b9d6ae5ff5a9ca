"""`POST /v1/chat/completions`: the whole conversation in, one turn, its answer whole or as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Header, Request, Response
from pydantic import BaseModel, Field

from core.access import Principal
from core.errors import WaystationError
from core.foreign import as_json
from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.runs.streams import Handle
from server.attachments import Content, Sent, read_content, stored_for
from server.conversations import SentMessage, Turn, begin, digest, joined, says_something
from server.errors import InvalidRequest, UnsupportedParameter, problem_response
from server.facade import while_connected
from server.middleware.auth import Caller
from server.protocols.openai.answer import answer_of
from server.protocols.openai.bodies import THREAD_HEADER, Body
from server.protocols.openai.chunks import ChatStream, completion, was_cut
from server.protocols.openai.forms import form_wanted
from server.protocols.switch import wire_router
from server.requests import idempotency_key
from server.routes.common import OpenAgent

router = wire_router("openai", "/v1")
PATH = "/v1/chat/completions"

_REFUSED = (
    *("functions", "function_call", "n", "logprobs", "top_logprobs", "logit_bias"),
    *("modalities", "audio", "web_search_options", "moderation"),
)
_HARMLESS: Mapping[str, Sequence[Any]] = {
    "n": (1,),
    "function_call": ("auto", "none"),
    "modalities": (["text"],),
}
_NO_CALL = "a result belongs to a call: send its tool_call_id"


class Message(BaseModel, extra="ignore"):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class StreamOptions(BaseModel, extra="ignore"):
    include_usage: bool | None = None


class ChatBody(Body):
    """The fields that have a meaning here."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=2000)]
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    response_format: dict[str, Any] | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None

    @property
    def words(self) -> dict[str, Any]:
        """What stands in the body under the names of choices, or means one."""
        names = ("presence_penalty", "frequency_penalty", "reasoning_effort", "verbosity")
        return {
            **{name: getattr(self, name) for name in names},
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop,
            "response_format": form_wanted(self.response_format, "response_format"),
            "max_tokens": self.limit,
            "instructions": instructions_of(self.messages),
        }

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def with_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


@router.post("/chat/completions")
async def chat_completions(
    body: ChatBody,
    request: Request,
    agent: OpenAgent,
    who: Caller,
    thread: Annotated[str | None, Header(alias=THREAD_HEADER)] = None,
) -> Response:
    """One turn. The answer is `text/event-stream` where `stream` is true."""
    body.refuse(*_REFUSED, but=_HARMLESS)
    key = idempotency_key(request.headers.get("idempotency-key"))
    turn = await _turn(body, agent, who, thread=thread, key=key)
    run = await begin(agent, who, turn)
    if body.stream:
        stall = agent.book[ServerSettings].stream_stall_seconds
        return ChatStream(run, model=body.model, with_usage=body.with_usage, stall=stall)
    return await while_connected(request, _whole(run, body.model))


async def _whole(run: Handle, model: str) -> Response:
    headers = {"X-Run-ID": run.id, THREAD_HEADER: run.thread_id}
    try:
        reply = await run.result()
        cut = await was_cut(run)
    except WaystationError as error:
        answer = problem_response(error, instance=PATH)
        # The turn was had: to try again would be another one.
        answer.headers.update({**headers, "X-Should-Retry": "false"})
        return answer
    finally:
        run.leave()
    return answer_of(completion(run, reply, model=model, cut=cut), headers=headers)


async def _turn(body: ChatBody, agent: Agent, who: Principal, *, thread: str | None, key: str | None) -> Turn:
    said, attached, results = conversation(body.messages)
    options = await body.options(agent, who, thread=thread, **body.words)
    if results:
        return Turn(said, None, options, results=results)
    files = await stored_for(agent, who, Content("", attached), of=[digest(said)])
    return Turn(said[:-1], said[-1], options, files=files, key=key)


def instructions_of(messages: Sequence[Message]) -> str:
    """What the client's system messages say."""
    texts = [
        read_content(one.content, f"messages.{place}.content").text
        for place, one in enumerate(messages)
        if one.role in ("system", "developer")
    ]
    return "\n\n".join(text for text in texts if text.strip())


def conversation(
    messages: Sequence[Message],
) -> tuple[list[SentMessage], tuple[Sent, ...], Mapping[str, str]]:
    """What was said, the user's last words as one message, and what is attached to them; or the last results.

    Raises:
        InvalidRequest: The last words are nobody's to answer, or a part is malformed.
        UnsupportedParameter: They have a part that is not taken.
    """
    said: list[SentMessage] = []
    attached: tuple[Sent, ...] = ()
    for place, message in enumerate(messages):
        if message.role in ("system", "developer"):
            continue
        found = read_content(message.content or message.refusal, f"messages.{place}.content")
        one = _said(message, found, place)
        attached = (
            (*attached, *found.files) if one.role == "user" else () if says_something(one) else attached
        )
        said.append(one)
    said = joined(said)
    if results := _last_results(said):
        return said, (), results
    if not said or said[-1].role != "user":
        raise InvalidRequest("messages: the last one must be of the user, with text", field="messages")
    return said, attached, {}


def _last_results(said: Sequence[SentMessage]) -> dict[str, str]:
    """What stands behind the last answer, where results end the conversation."""
    last = len(said) - next((n for n, one in enumerate(reversed(said)) if one.role != "tool"), len(said))
    return {one.call_id: one.text for one in said[last:]}


def _said(message: Message, found: Content, place: int) -> SentMessage:
    if message.role == "user":
        return SentMessage("user", found.text, others=found.marks())
    if message.role == "assistant":
        calls = tuple(map(_call, message.tool_calls or ()))
        return SentMessage("assistant", found.text, calls=calls, others=found.marks())
    if not message.tool_call_id:
        raise UnsupportedParameter(f"messages.{place}", _NO_CALL)
    return SentMessage("tool", found.text, call_id=message.tool_call_id)


def _call(call: Mapping[str, Any]) -> tuple[str, str, str]:
    function = call.get("function")
    named: Mapping[str, Any] = function if isinstance(function, Mapping) else {}
    arguments = named.get("arguments")
    text = arguments if isinstance(arguments, str) else as_json(arguments)
    return str(call.get("id") or ""), str(named.get("name") or ""), text
