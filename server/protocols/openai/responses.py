"""`/v1/responses`: a response is a run of ours, and has its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from pydantic import Field

from core.access import Principal
from core.settings.platform import ServerSettings
from graph.agent import Agent
from graph.errors import RunEnded, ThreadNotFound
from graph.runs.streams import Handle
from server.attachments import Content, stored_for
from server.conversations import Turn, begin, digest
from server.errors import InvalidRequest, UnsupportedParameter
from server.facade import while_connected
from server.middleware.auth import Caller
from server.protocols.openai.answer import answer_of
from server.protocols.openai.bodies import THREAD_HEADER, Body
from server.protocols.openai.chunks import was_cut
from server.protocols.openai.errors import ResponseInThread
from server.protocols.openai.forms import form_wanted, nested
from server.protocols.openai.inputs import asked_in
from server.protocols.openai.items import EchoedRequest, of_record
from server.protocols.openai.paused import FIRST, RunPart, named, part_of
from server.protocols.openai.stream import ResponseStream
from server.protocols.switch import wire_router
from server.requests import ID_PATTERN, idempotency_key
from server.routes.common import OpenAgent

router = wire_router("openai", "/v1/responses")

_REFUSED = ("prompt", "top_logprobs", "max_tool_calls", "moderation", "image")
# What ids of runs begin with, in every release.
_RUN = "r_"
ResponseId = Annotated[str, Field(pattern=ID_PATTERN)]


class ResponseBody(Body):
    """The fields that have a meaning here."""

    model: Annotated[str, Field(min_length=1, max_length=300)] = "waystation"
    input: str | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=2000)]
    instructions: str | None = None
    previous_response_id: ResponseId | None = None
    conversation: str | dict[str, Any] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    background: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None

    def check(self) -> None:
        """Refuse what is not done.

        Raises:
            UnsupportedParameter, InvalidRequest: Something is asked for that is not.
        """
        self.refuse(*_REFUSED)
        extra = self.model_extra or {}
        wanted = extra.get("include")
        if isinstance(wanted, list) and "message.output_text.logprobs" in wanted:
            raise UnsupportedParameter("include", "there are no probabilities of tokens")
        if extra.get("truncation") not in (None, "auto", "disabled"):
            raise InvalidRequest("truncation: one of auto, disabled")
        if self.previous_response_id and self.conversation:
            raise InvalidRequest("previous_response_id: goes without conversation; send one of them")

    @property
    def words(self) -> dict[str, Any]:
        """What means a choice of the turn."""
        text = self.text or {}
        return {
            "response_format": form_wanted(nested(text.get("format")), "text.format"),
            "verbosity": text.get("verbosity"),
            "reasoning_effort": (self.reasoning or {}).get("effort"),
            "max_tokens": self.max_output_tokens,
        }

    @property
    def thread(self) -> str | None:
        """The thread that `conversation` names."""
        named = self.conversation
        return named.get("id") if isinstance(named, dict) else named

    @property
    def told(self) -> EchoedRequest:
        """What the response tells again."""
        names = ("instructions", "max_output_tokens", "temperature", "top_p")
        fields = {name: getattr(self, name) for name in names} | {"metadata": self.metadata or {}}
        fields |= {"text": {"format": {"type": "text"}, **(self.text or {})}}
        if self.parallel_tool_calls is not None:
            fields["parallel_tool_calls"] = self.parallel_tool_calls
        if self.tool_choice is not None:
            fields["tool_choice"] = self.tool_choice
        if self.tools:
            fields["tools"] = self.tools
        return EchoedRequest(self.model, self.previous_response_id, bool(self.background), fields)


@router.post("")
async def create_response(
    body: ResponseBody,
    request: Request,
    agent: OpenAgent,
    who: Caller,
    thread: Annotated[str | None, Header(alias=THREAD_HEADER)] = None,
) -> Response:
    """One turn: whole, as events where `stream` is true, in the background where that is asked for."""
    body.check()
    key = idempotency_key(request.headers.get("idempotency-key"))
    run = await _begun(body, agent, who, thread=thread, key=key)
    # Who answers a pause begins a part of its own.
    part = await part_of(await agent.runs.handle(who, run.id)) if run.since else FIRST
    if body.stream:
        return _stream(agent, run, body.told, part)
    if body.background:
        return answer_of(of_record(run.record, body.told, cut=False, part=part), headers=_named(run))
    return await while_connected(request, _whole(agent, who, run, body.told, part))


async def _begun(
    body: ResponseBody, agent: Agent, who: Principal, *, thread: str | None, key: str | None
) -> Handle:
    asked = asked_in(body.input)
    instructions = "\n\n".join(text for text in (body.instructions, asked.instructions) if text)
    after, behind = await _followed(body, agent, who)
    options = await body.options(
        agent, who, thread=behind or thread or body.thread, instructions=instructions, **body.words
    )
    if body.background:
        options["on_disconnect"] = "continue"
    if asked.results:
        turn = Turn(asked.said, None, options, results=asked.results)
    elif asked.answers:
        turn = Turn((), None, options, resume=dict(asked.answers))
        if not after and not options.get("thread_id"):
            raise InvalidRequest("previous_response_id: answers need the response that waits for them")
    else:
        files = await stored_for(
            agent, who, Content("", asked.attached), of=[after or "", digest(asked.said)]
        )
        turn = Turn(asked.said[:-1], asked.said[-1], options, files=files, key=key)
    return await begin(agent, who, turn, after=after)


async def _followed(body: ResponseBody, agent: Agent, who: Principal) -> tuple[str | None, str | None]:
    """The run that `previous_response_id` means, or the thread: agent-framework sends its id there."""
    if not body.previous_response_id:
        return None, None
    run_id, _ = named(body.previous_response_id)
    if not run_id.startswith(_RUN):
        with suppress(ThreadNotFound):
            return None, str((await agent.threads.get(who, run_id))["id"])
    return run_id, None


async def _whole(agent: Agent, who: Principal, run: Handle, told: EchoedRequest, part: RunPart) -> Response:
    try:
        # A response that failed is one too, with its error in it.
        await agent.runs.settled(run.id, hurried=True)
        return await _shown(agent, who, part.id_of(run.id), told)
    finally:
        run.leave()


async def _shown(
    agent: Agent, who: Principal, response_id: str, told: EchoedRequest | None = None
) -> Response:
    """The response as it is now."""
    run, part = await _found(agent, who, response_id)
    record = run.record
    cut = part.reply is None and record.status == "done" and await was_cut(run)
    found = of_record(record, told or EchoedRequest(background=record.request.background), cut=cut, part=part)
    return answer_of(found, headers=_named(run))


async def _found(agent: Agent, who: Principal, response_id: str) -> tuple[Handle, RunPart]:
    run_id, number = named(response_id)
    run = await agent.runs.handle(who, run_id)
    return run, await part_of(run, number)


def _stream(
    agent: Agent, run: Handle, told: EchoedRequest, part: RunPart, after: int | None = None
) -> Response:
    stall = agent.book[ServerSettings].stream_stall_seconds
    return ResponseStream(run, told=told, stall=stall, part=part, starting_after=after)


def _named(run: Handle) -> dict[str, str]:
    return {"X-Run-ID": run.id, THREAD_HEADER: run.thread_id}


@router.get("/{response_id}")
async def show_response(
    response_id: ResponseId,
    agent: OpenAgent,
    who: Caller,
    stream: Annotated[bool, Query()] = False,
    starting_after: Annotated[int | None, Query(ge=0, le=10**15)] = None,
) -> Response:
    """A response as it is now; with `stream` its events, from the first or behind `starting_after` on."""
    if stream:
        run, part = await _found(agent, who, response_id)
        return _stream(agent, run, EchoedRequest(), part, starting_after)
    return await _shown(agent, who, response_id)


@router.post("/{response_id}/cancel")
async def cancel_response(response_id: ResponseId, agent: OpenAgent, who: Caller) -> Response:
    """End the run of a response; one that has ended is given as it is."""
    try:
        run_id, _ = named(response_id)
        await agent.runs.cancel(who, run_id)
        await agent.runs.wait(who, run_id, timeout=30)
    except RunEnded:
        pass
    return await _shown(agent, who, response_id)


@router.delete("/{response_id}")
async def delete_response(response_id: ResponseId, agent: OpenAgent, who: Caller) -> Response:
    """Remove a response with its thread, where nothing else was said on that.

    Raises:
        ResponseInThread: Other turns stand there too.
    """
    record = await agent.runs.get(who, named(response_id)[0])
    others = await agent.runs.list(who, thread_id=record.thread_id, limit=2)
    found = await agent.threads.get(who, record.thread_id)
    if len(others) > 1 or found["turns"] > 1:
        raise ResponseInThread(
            f"response '{response_id}' is one of several turns of thread '{record.thread_id}'; "
            "delete the thread with DELETE /threads/{id}"
        )
    await agent.threads.delete(who, record.thread_id)
    return answer_of({"id": response_id, "object": "response.deleted", "deleted": True})


@router.get("/{response_id}/input_items")
async def list_input_items(response_id: ResponseId, agent: OpenAgent, who: Caller) -> Response:
    """What was said for a response: the message, and the keys of its files; none for an answer to a pause."""
    run_id, number = named(response_id)
    record = await agent.runs.get(who, run_id)
    if number:
        return answer_of(_listed([]))
    asked = record.request
    files = [{"type": "input_file", "file_id": key} for key in asked.files]
    item = {
        "id": record.message_id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": asked.message}, *files],
    }
    return answer_of(_listed([item]))


def _listed(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "object": "list",
        "data": found,
        "first_id": found[0]["id"] if found else None,
        "last_id": found[-1]["id"] if found else None,
        "has_more": False,
    }
