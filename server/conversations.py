"""Where a conversation goes on whose client sends all of it each time, and no thread.

What the client sends is what the model sees. A run is found again by the hash of all that was said
up to its message, and is taken where it said what the client says that it said:

- It is the last of its thread: the turn goes on there, with all that the thread knows.
- The thread has gone further (a message was edited, an answer asked for again): a fork before that.
- Nothing is found (another service's conversation, an edited answer): a new thread that begins with it.

Nothing is kept here: the hash stands in the run's row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from core.access import Principal
from core.errors import WaystationError
from core.foreign import is_answer
from graph.agent import Agent
from graph.errors import NothingToResume, ThreadBusy, ThreadNotFound
from graph.runs.record import RunRecord, TurnRequest
from graph.runs.streams import Handle
from server.questions import answer_in, told_in_chat
from server.requests import ID_PATTERN, AgentInput, turn_request

TOLD = ("done", "interrupted")
# A turn has a message; files may come without one.
ALONE = "(a file)"
# Runs of one person that wait for results.
_MOST_WAITING = 200
# An answer has to say something.
_NO_RESULT = "(nothing)"
# Whoever read these may have less of the answer than was said before they ended.
CUT = ("cancelled", "failed")


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as the client keeps it.

    Args:
        calls: Tool calls of an answer: (id, name, arguments as text).
        call_id: Whose result it is.
        others: Hashes of what is no text.
    """

    role: Literal["user", "assistant", "tool"]
    text: str
    calls: tuple[tuple[str, str, str], ...] = ()
    call_id: str = ""
    others: tuple[str, ...] = ()

    def as_message(self) -> BaseMessage:
        """As a thread keeps it."""
        if self.role == "user":
            return HumanMessage(self.text)
        if self.role == "tool":
            return ToolMessage(self.text, tool_call_id=self.call_id)
        calls = [
            {"id": key, "name": name, "args": _read(args), "type": "tool_call"}
            for key, name, args in self.calls
        ]
        return AIMessage(self.text, tool_calls=calls)


def says_something(said: SentMessage) -> bool:
    """Whether there is anything in it."""
    return bool(said.text.strip() or said.calls or said.others or said.role == "tool")


def joined(said: Sequence[SentMessage]) -> list[SentMessage]:
    """A conversation as it is compared and gone on with, however a client keeps it.

    What says nothing is left out, and what a user says in a row is one message: so it was answered.
    """
    found: list[SentMessage] = []
    for one in filter(says_something, said):
        if one.role != "user":
            found.append(one)
            continue
        before = found.pop() if found and found[-1].role == "user" else SentMessage("user", "")
        texts = [text for text in (before.text, one.text) if text.strip() and text != ALONE]
        found.append(SentMessage("user", "\n\n".join(texts) or ALONE, others=before.others + one.others))
    return found


def _read(arguments: str) -> dict[str, Any]:
    """Arguments as a client keeps them, which are JSON where nobody has touched them."""
    try:
        found = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        found = arguments
    return found if isinstance(found, dict) else {"arguments": found}


@dataclass(frozen=True, slots=True)
class Turn:
    """What a client asks for.

    Args:
        before: The conversation so far; of no account where `options` name a thread.
        asked: What is said now; None where `resume` is all.
        resume: An answer to what waits.
        files: Keys of uploaded files that go with it.
        options: As in `configurable`.
        results: What the client's own tools gave, by the ids of their calls; then nothing is asked.
        home: What the client calls the conversation. It is told from others by that too, and its thread
            has that id where nobody has one of it.
    """

    before: Sequence[SentMessage]
    asked: SentMessage | None
    options: Mapping[str, Any]
    resume: Any = None
    files: tuple[str, ...] = ()
    key: str | None = None
    results: Mapping[str, str] = field(default_factory=dict)
    home: str = ""

    def joined(self) -> Turn:
        """The same, as conversations are compared."""
        if self.asked is None:
            return replace(self, before=joined(self.before))
        *before, asked = joined([*self.before, self.asked]) or [self.asked]
        return replace(self, before=before, asked=asked)


@dataclass(slots=True)
class StartingPoint:
    """The thread on which a turn begins.

    Args:
        found: Nobody named it: it was found, and another turn may be found going there.
        made: It was made for this turn, and goes with it where that cannot begin.
        waits: It waits for a person.
        gave_up: It waits for results of the client, who says something else instead.
        home: It is the client's name for the conversation, which somebody else's thread may have.
    """

    thread_id: str | None = None
    found: RunRecord | None = None
    made: bool = False
    waits: bool = False
    gave_up: bool = False
    home: bool = False


async def begin(agent: Agent, who: Principal, turn: Turn, *, after: str | None = None) -> Handle:
    """Begin the turn where its conversation goes on.

    Args:
        after: The id of the run that it follows, where the client names it.

    Raises:
        RunNotFound: There is no such run.
        WaystationError: The turn cannot begin; nothing is left of it.
    """
    turn = turn.joined()
    if turn.results:
        return await agent.begin(await _with_results(agent, who, turn, after))
    place = await _place(agent, who, turn, after)
    try:
        async with _kept(agent, who, place):
            return await agent.begin(_request(who, turn, place))
    except ThreadBusy:
        if place.found is None or turn.options.get("on_busy") not in (None, "reject"):
            raise
        # Two at once behind the same answer: each has a thread of its own.
        place = await _behind(agent, who, place.found)
    except ThreadNotFound:
        if not place.home:
            raise
        # Somebody else has a thread of that id, which is nobody's business.
        place = StartingPoint()
    async with _kept(agent, who, place):
        return await agent.begin(_request(who, turn, place))


def _request(who: Principal, turn: Turn, place: StartingPoint) -> TurnRequest:
    said = turn.asked.text if turn.asked else ""
    resume = turn.resume if is_answer(turn.resume) else answer_in(said) if place.waits else None
    if resume is not None:
        given = AgentInput.model_construct(resume=resume)
    else:
        given = AgentInput.model_construct(message=said, files=list(turn.files))
    options = {**turn.options, "thread_id": place.thread_id}
    if place.gave_up:
        options["on_busy"] = options.get("on_busy") or "interrupt"
    request = turn_request(who, given, options, key=turn.key if resume is None else None)
    everything = [*turn.before, *([turn.asked] if turn.asked else ())]
    return replace(request, conversation=digest(everything, turn.home)) if resume is None else request


async def _with_results(agent: Agent, who: Principal, turn: Turn, after: str | None) -> TurnRequest:
    """The request that goes on with the run whose calls the client has made."""
    thread_id = turn.options.get("thread_id")
    if after:
        thread_id = (await agent.runs.get(who, after)).thread_id
    elif not thread_id:
        thread_id = await _thread_with_calls(agent, who, turn) or await _thread_renamed(agent, who, turn)
    state = await agent.threads.state(who, thread_id) if thread_id else {}
    asked = {str(each["call"]["id"]): str(each["id"]) for each in client_questions(state)}
    known = {
        asked[call]: {"respond": text or _NO_RESULT} for call, text in turn.results.items() if call in asked
    }
    if not known:
        names = ", ".join(list(turn.results)[:5])
        raise NothingToResume(
            f"no turn waits for the result of {names[:200]}; send it behind the answer that asks"
        )
    given = AgentInput.model_construct(resume=known)
    return turn_request(who, given, {**turn.options, "thread_id": thread_id})


async def _thread_with_calls(agent: Agent, who: Principal, turn: Turn) -> str | None:
    asked = turn.before[: _last_of_user(turn.before) + 1]
    for run in await agent.runs.of_conversation(who, digest(asked, turn.home)):
        calls = {str(each["call"]["id"]) for each in client_questions(run.output or {})}
        if run.status == "interrupted" and calls & turn.results.keys():
            return run.thread_id
    return None


async def _thread_renamed(agent: Agent, who: Principal, turn: Turn) -> str | None:
    """The same, where a client calls its conversation otherwise in each request, as agent-framework does.

    Ids of calls alone do not tell: small models count them from nought.
    """
    asked = turn.before[max(_last_of_user(turn.before), 0)] if turn.home and turn.before else None
    for run in await agent.runs.list(who, status="interrupted", limit=_MOST_WAITING) if asked else ():
        calls = {str(each["call"]["id"]) for each in client_questions(run.output or {})}
        said = squeezed(run.request.message or "")
        if turn.results.keys() <= calls and asked and said == squeezed(asked.text):
            return run.thread_id
    return None


@asynccontextmanager
async def _kept(agent: Agent, who: Principal, place: StartingPoint) -> AsyncIterator[None]:
    """The thread goes again where its turn does not begin."""
    try:
        yield
    except WaystationError:
        if place.made and place.thread_id:
            await agent.threads.delete(who, place.thread_id)
        raise


async def _place(agent: Agent, who: Principal, turn: Turn, after: str | None) -> StartingPoint:
    if after:
        return await _behind(agent, who, await agent.runs.get(who, after))
    if named := turn.options.get("thread_id"):
        return StartingPoint(named, waits=await _waits(agent, who, turn, named))
    if not turn.before:
        return await _first(agent, who, turn.home)
    run = await _run_behind(agent, who, turn)
    # Results and a further message at once: the run waits for results alone, so all of it begins anew.
    with_results = turn.before[-1].role == "tool"
    if run is not None and not (with_results and client_questions(run.output or {})):
        return await _behind(agent, who, run)
    made = await agent.threads.begin_with(who, [said.as_message() for said in turn.before])
    return StartingPoint(made["id"], made=True)


async def _first(agent: Agent, who: Principal, home: str) -> StartingPoint:
    """A thread for a conversation that begins: its client's, unless something was said there."""
    if not re.fullmatch(ID_PATTERN, home):
        return StartingPoint()
    try:
        said = (await agent.threads.get(who, home))["turns"]
    except ThreadNotFound:
        said = 0
    return StartingPoint() if said else StartingPoint(home, home=True)


async def _waits(agent: Agent, who: Principal, turn: Turn, thread_id: str) -> bool:
    """Whether the thread waits; looked at only where an answer may have been given."""
    if turn.asked is None or answer_in(turn.asked.text) is None:
        return False
    if turn.options.get("on_busy") not in (None, "reject"):
        return False  # it is a message, and takes the question's place
    listed = await agent.threads.get(who, thread_id)
    return bool(listed["status"] == "interrupted")


async def _behind(agent: Agent, who: Principal, run: RunRecord) -> StartingPoint:
    """Right behind the run: on its thread, or on a fork where that has gone further."""
    later = await agent.threads.message_after(who, run.thread_id, str(run.message_id))
    if later is None:
        waits = run.status == "interrupted"
        gave_up = waits and bool(client_questions(run.output or {}))
        return StartingPoint(run.thread_id, found=run, waits=waits and not gave_up, gave_up=gave_up)
    made = await agent.threads.fork_before(who, run.thread_id, later)
    return StartingPoint(made["id"], found=run, made=True)


async def _run_behind(agent: Agent, who: Principal, turn: Turn) -> RunRecord | None:
    """The run that said what stands last."""
    # Without a name for the conversation, one that was cut begins anew: its start may be another's.
    known = TOLD + CUT if turn.home else TOLD
    for asked, told in askings(turn.before):
        for run in await agent.runs.of_conversation(who, digest(asked, turn.home)):
            if run.status in known and await _has_told(agent, who, run, told):
                return run
    return None


async def _has_told(agent: Agent, who: Principal, run: RunRecord, told: str) -> bool:
    output = run.output or {}
    waiting = "" if run.status in CUT else waiting_text(output)
    # Where a question has a form of its own on the wire, it is no part of the text.
    if squeezed(told) in _tellings(str(output.get("answer", "")), waiting):
        return True
    # Who reads a stream has also read what was said before tools were called.
    whole = await agent.threads.said_in(who, run.thread_id, run.id)
    if run.status in CUT:
        return bool(told) and squeezed(whole).startswith(squeezed(told))
    return squeezed(told) in _tellings(whole, waiting)


def _tellings(answer: str, waiting: str) -> tuple[str, str]:
    return squeezed(answer), squeezed(f"{answer}{waiting}")


def askings(before: Sequence[SentMessage]) -> Iterator[tuple[Sequence[SentMessage], str]]:
    """What was said up to a message that a run may have answered, and the text that the client says it told.

    The last message of the user; and where that was an answer to a question, the one before the
    question too: an answer goes on with the same run.
    """
    end = _last_of_user(before)
    # What tools gave is no word of the assistant.
    told = "".join(said.text for said in before[end + 1 :] if said.role != "tool")
    while end >= 0 and before[end + 1 :]:
        yield before[: end + 1], told
        if answer_in(before[end].text) is None:
            return
        end = _last_of_user(before[:end])


def _last_of_user(said: Sequence[SentMessage]) -> int:
    return max((place for place, one in enumerate(said) if one.role == "user"), default=-1)


def digest(said: Sequence[SentMessage], home: str = "") -> str:
    """A hash of a conversation; blanks do not count, since clients trim what they keep.

    Args:
        home: See `Turn`.
    """
    told = [
        [one.role, squeezed(one.text), [_plain_call(call) for call in one.calls], one.call_id, one.others]
        for one in joined(said)
    ]
    return hashlib.sha256(orjson.dumps([home, told] if home else told)).hexdigest()


def _plain_call(call: tuple[str, str, str]) -> tuple[str, str, str]:
    """A call, however its arguments are written: clients parse them, and write them again."""
    key, name, arguments = call
    try:
        # Numbers stay text: one with a thousand digits is none that can be written again.
        found = json.loads(arguments, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return call
    return key, name, json.dumps(found, sort_keys=True, separators=(",", ":"))


def squeezed(text: str) -> str:
    """The text without blanks."""
    return "".join(text.split())


def waiting_text(reply: Mapping[str, Any]) -> str:
    """What waits for a person, in words; empty where nothing does."""
    asked = [each for each in reply.get("interrupts") or () if not each.get("client")]
    return told_in_chat(asked, reply["thread_id"]) if asked else ""


def client_questions(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls of the client's own tools that a turn waits for."""
    return [each for each in reply.get("interrupts") or () if each.get("client")]
