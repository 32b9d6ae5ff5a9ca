"""A2A against a real service, by the client of `a2a-sdk`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import httpx
import pytest
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.client.card_resolver import parse_agent_card
from a2a.types import a2a_pb2 as a2a
from a2a.utils import errors
from google.protobuf.json_format import ParseDict

from tests.kit.clients import service_on
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.model_server import ModelServer, call, refuse, say
from waystation.testing.service import Service

ASKS_FIRST = '{"calculator": {"require_approval": ["multiply"]}}'
MULTIPLY = ("calculator_multiply", {"a": 5, "b": 3})
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBoZXJlISEhISEh"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """Its calculator asks before it multiplies, and its runs may tell this machine."""
    settings = {
        "WEBHOOKS__RUN_SECRET": SECRET,
        "WEBHOOKS__ALLOWED_HOSTS": '["127.0.0.1"]',
        "WEBHOOKS__ALLOW_PRIVATE_ADDRESSES": "true",
    }
    folder = tmp_path_factory.mktemp("a2a")
    with service_on(folder, _model_server.url, files={"mcp.json": ASKS_FIRST}, **settings) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(trust_env=False, timeout=120) as http:
        yield await ClientFactory(ClientConfig(httpx_client=http)).create_from_url(service.url)


@pytest.fixture
async def whole(service: Service) -> AsyncIterator[Client]:
    """A client that does not stream."""
    async with httpx.AsyncClient(trust_env=False, timeout=120) as http:
        config = ClientConfig(httpx_client=http, streaming=False)
        yield await ClientFactory(config).create_from_url(service.url)


@pytest.fixture
async def earlier(service: Service) -> AsyncIterator[Client]:
    """A client that reads of the card what A2A 0.3 knows, and speaks 0.3."""
    async with httpx.AsyncClient(trust_env=False, timeout=120) as http:
        card = (await http.get(f"{service.url}/.well-known/agent-card.json")).json()
        del card["supportedInterfaces"]
        yield ClientFactory(ClientConfig(httpx_client=http)).create(parse_agent_card(card))


def message(*parts: str | a2a.Part, **more: Any) -> a2a.SendMessageRequest:
    wish = more.pop("configuration", None)
    given = [part if isinstance(part, a2a.Part) else a2a.Part(text=part) for part in parts]
    said = a2a.Message(message_id="m", role=a2a.ROLE_USER, parts=given, **more)
    return a2a.SendMessageRequest(message=said, configuration=wish)


async def told(client: Client, request: a2a.SendMessageRequest) -> list[a2a.StreamResponse]:
    return [event async for event in client.send_message(request)]


async def task(client: Client, request: a2a.SendMessageRequest) -> a2a.Task:
    """The task that a client that does not stream is given."""
    [found] = await told(client, request)
    return found.task


def states(events: Sequence[a2a.StreamResponse]) -> list[str]:
    shown = [one.status_update.status.state for one in events if one.HasField("status_update")]
    return list(dict.fromkeys(a2a.TaskState.Name(state) for state in shown))


def answer_in(artifacts: Sequence[a2a.Artifact]) -> str:
    return "".join(part.text for one in artifacts if one.name == "answer" for part in one.parts)


def streamed(events: Sequence[a2a.StreamResponse]) -> str:
    """The answer as a client puts it together."""
    text = ""
    for event in events:
        told = event.artifact_update
        if told.artifact.name == "answer":
            text = (text if told.append else "") + answer_in([told.artifact])
    return text


async def test_a_streamed_message_is_a_task_from_its_beginning_to_its_end(
    client: Client, model_server: ModelServer
) -> None:
    model_server.script(call("calculator_add", {"a": 5, "b": 3}, text="I add. "), say("It is 8."))
    events = await told(client, message("Add 5 and 3."))
    assert events[0].HasField("task")
    assert events[0].task.history[0].parts[0].text == "Add 5 and 3."
    assert states(events) == ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]
    assert streamed(events) == "It is 8."
    known = await client.get_task(a2a.GetTaskRequest(id=events[0].task.id))
    assert answer_in(known.artifacts) == "It is 8."
    assert known.context_id == events[0].task.context_id


async def test_a_whole_answer_goes_on_in_its_context(whole: Client, model_server: ModelServer) -> None:
    model_server.script(say("Hello you."), say("Still here."))
    first = await task(whole, message("hi"))
    assert (answer_in(first.artifacts), first.status.state) == ("Hello you.", a2a.TASK_STATE_COMPLETED)
    second = await task(whole, message("and then?", context_id=first.context_id))
    assert second.context_id == first.context_id
    assert second.id != first.id
    said = [each["content"] for each in model_server.requests()[-1]["messages"] if each["role"] != "system"]
    assert said == ["hi", "Hello you.", "and then?"]
    listed = await whole.list_tasks(a2a.ListTasksRequest(context_id=first.context_id, page_size=1))
    assert ([one.id for one in listed.tasks], listed.total_size) == ([second.id], 2)
    rest = a2a.ListTasksRequest(
        context_id=first.context_id, page_token=listed.next_page_token, include_artifacts=True
    )
    assert [answer_in(one.artifacts) for one in (await whole.list_tasks(rest)).tasks] == ["Hello you."]


async def test_files_and_data_go_in_and_files_and_citations_come_out(
    whole: Client, model_server: ModelServer, service: Service
) -> None:
    model_server.script(say("Fourteen days [1]."))
    data = ParseDict({"data": {"berth": 4}}, a2a.Part())
    note = a2a.Part(raw=b"hello", filename="note.txt", media_type="text/plain")
    found = await task(whole, message("How long is a berth reserved at most?", data, note))
    assert '{"berth":4}' in model_server.requests()[-1]["messages"][-1]["content"]
    [cited] = [part.data for one in found.artifacts for part in one.parts if part.HasField("data")]
    assert cited.struct_value["citations"][0]["source"] == "harbour"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        names = {each["filename"]: each for each in (await http.get(f"{service.url}/files")).json()}
    url = f"{service.url}/files/{names['note.txt']['key']}/content"
    model_server.script(say("I see it."))
    again = await task(whole, message("And this?", a2a.Part(url=url)))
    assert again.status.state == a2a.TASK_STATE_COMPLETED


async def test_a_task_that_waits_is_answered_by_a_message(
    client: Client, whole: Client, model_server: ModelServer
) -> None:
    model_server.script(call(*MULTIPLY), say("It is 15."))
    events = await told(client, message("Multiply."))
    assert states(events)[-1] == "TASK_STATE_INPUT_REQUIRED"
    asked = events[-1].status_update
    assert "May calculator run 'multiply'?" in asked.status.message.parts[0].text
    with pytest.raises(errors.InvalidParamsError):
        await task(whole, message("What for?", task_id=asked.task_id))
    with pytest.raises(errors.InvalidParamsError):
        await task(whole, message("approve", task_id=asked.task_id, context_id="another"))
    answered = await told(client, message("approve", task_id=asked.task_id))
    assert (states(answered)[-1], streamed(answered)) == ("TASK_STATE_COMPLETED", "It is 15.")
    with pytest.raises(errors.UnsupportedOperationError):
        await task(whole, message("approve", task_id=asked.task_id))


async def test_a_client_of_0_3_asks_answers_and_looks_at_its_task(
    earlier: Client, model_server: ModelServer
) -> None:
    model_server.script(call(*MULTIPLY), say("It is 15."))
    note = a2a.Part(raw=b"hello", filename="note.txt", media_type="text/plain")
    events = await told(earlier, message("Multiply as of old.", note))
    assert states(events)[-1] == "TASK_STATE_INPUT_REQUIRED"
    waits = events[-1].status_update.task_id
    answered = await told(earlier, message("approve", task_id=waits))
    assert (states(answered)[-1], streamed(answered)) == ("TASK_STATE_COMPLETED", "It is 15.")
    known = await earlier.get_task(a2a.GetTaskRequest(id=waits))
    assert (answer_in(known.artifacts), known.history[0].role) == ("It is 15.", a2a.ROLE_USER)
    with pytest.raises(errors.TaskNotCancelableError):
        await earlier.cancel_task(a2a.CancelTaskRequest(id=waits))


async def test_an_answer_may_be_data(whole: Client, model_server: ModelServer) -> None:
    model_server.script(call(*MULTIPLY), say("I did not."))
    waits = await task(whole, message("Multiply, or not."))
    assert waits.status.state == a2a.TASK_STATE_INPUT_REQUIRED
    no = ParseDict({"data": {"approve": False, "reason": "not today"}}, a2a.Part())
    assert answer_in((await task(whole, message(no, task_id=waits.id))).artifacts) == "I did not."
    assert "not today" in model_server.requests()[-1]["messages"][-1]["content"]


async def test_a_task_outlives_its_stream_and_is_followed_and_cancelled(
    client: Client, model_server: ModelServer
) -> None:
    model_server.script(say("One two three.", hang_after=2))
    stream: Any = client.send_message(message("leave"))
    first = await anext(stream)
    await stream.aclose()
    followed = client.subscribe(a2a.SubscribeToTaskRequest(id=first.task.id))
    seen: list[a2a.StreamResponse] = []
    ended: a2a.Task | None = None
    async with asyncio.timeout(A_BUSY_MACHINE_S * 6):
        async for event in followed:
            seen.append(event)
            if ended is None and streamed(seen) == "One two ":
                ended = await client.cancel_task(a2a.CancelTaskRequest(id=first.task.id))
    assert ended is not None
    assert ended.status.state == a2a.TASK_STATE_CANCELED
    assert states(seen)[-1] == "TASK_STATE_CANCELED"
    with pytest.raises(errors.TaskNotCancelableError):
        await client.cancel_task(a2a.CancelTaskRequest(id=first.task.id))
    with pytest.raises(errors.UnsupportedOperationError):
        await anext(client.subscribe(a2a.SubscribeToTaskRequest(id=first.task.id)))


async def test_a_task_is_known_after_a_restart(
    whole: Client, model_server: ModelServer, service: Service
) -> None:
    model_server.script(call(*MULTIPLY), say("It is 15."))
    waits = await task(whole, message("Multiply after a restart."))
    service.stop()
    service.start()
    known = await whole.get_task(a2a.GetTaskRequest(id=waits.id))
    assert known.status.state == a2a.TASK_STATE_INPUT_REQUIRED
    assert answer_in((await task(whole, message("approve", task_id=waits.id))).artifacts) == "It is 15."


async def test_a_task_that_fails_says_why_with_our_code(whole: Client, model_server: ModelServer) -> None:
    model_server.script(refuse(401))
    failed = await task(whole, message("broken"))
    assert failed.status.state == a2a.TASK_STATE_FAILED
    assert failed.status.message.parts[1].data.struct_value["code"] == "model_refused"


async def test_a_task_in_the_background_tells_its_end_to_a_url(
    whole: Client, model_server: ModelServer
) -> None:
    model_server.script(say("Done."))
    with receiver() as (url, got):
        push = a2a.TaskPushNotificationConfig(url=url)
        wish = a2a.SendMessageConfiguration(task_push_notification_config=push, return_immediately=True)
        begun = await task(whole, message("tell me", configuration=wish))
        assert begun.status.state in (a2a.TASK_STATE_SUBMITTED, a2a.TASK_STATE_WORKING)
        headers, sent = await asyncio.to_thread(got.get, timeout=A_BUSY_MACHINE_S * 6)
    heard = ParseDict(json.loads(sent), a2a.StreamResponse()).status_update
    assert (heard.task_id, heard.context_id) == (begun.id, begun.context_id)
    assert heard.status.state == a2a.TASK_STATE_COMPLETED
    assert headers["webhook-signature"].startswith("v1,")
    listed = await whole.list_task_push_notification_configs(
        a2a.ListTaskPushNotificationConfigsRequest(task_id=begun.id)
    )
    assert [config.url for config in listed.configs] == [url]
    known = a2a.GetTaskPushNotificationConfigRequest(task_id=begun.id, id=listed.configs[0].id)
    assert (await whole.get_task_push_notification_config(known)).url == url
    with pytest.raises(errors.PushNotificationNotSupportedError):
        await whole.create_task_push_notification_config(
            a2a.TaskPushNotificationConfig(task_id=begun.id, url=url)
        )
    with pytest.raises(errors.PushNotificationNotSupportedError):
        await whole.delete_task_push_notification_config(
            a2a.DeleteTaskPushNotificationConfigRequest(task_id=begun.id, id=listed.configs[0].id)
        )


class receiver:  # noqa: N801 - a context manager, used like a function
    """A small HTTP server on this machine: its URL, and what it is sent."""

    def __enter__(self) -> tuple[str, Queue[tuple[dict[str, str], bytes]]]:
        got: Queue[tuple[dict[str, str], bytes]] = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["content-length"]))
                got.put(({name.lower(): value for name, value in self.headers.items()}, sent))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook", got

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize(
    ("push", "why"),
    [
        (a2a.TaskPushNotificationConfig(url="http://127.0.0.1:9/", token="t"), "no token"),
        (a2a.TaskPushNotificationConfig(url="https://elsewhere.example/"), "allowed_hosts"),
        (a2a.TaskPushNotificationConfig(url="billing"), "full address"),
    ],
)
async def test_where_a_url_cannot_be_told_nothing_begins(
    whole: Client, push: a2a.TaskPushNotificationConfig, why: str
) -> None:
    wish = a2a.SendMessageConfiguration(task_push_notification_config=push)
    with pytest.raises(errors.A2AError, match=why):
        await told(whole, message("hi", configuration=wish))


async def test_the_extended_card_tells_what_the_caller_may_use(client: Client) -> None:
    card = await client.get_extended_agent_card(a2a.GetExtendedAgentCardRequest())
    assert {"ask", "source:harbour", "tools:calculator"} <= {skill.id for skill in card.skills}
    assert card.supported_interfaces[0].protocol_binding == "JSONRPC"


async def test_answers_that_are_not_given_are_refused(whole: Client) -> None:
    wish = a2a.SendMessageConfiguration(accepted_output_modes=["video/mp4"])
    with pytest.raises(errors.ContentTypeNotSupportedError):
        await told(whole, message("hi", configuration=wish))
    with pytest.raises(errors.TaskNotFoundError):
        await whole.get_task(a2a.GetTaskRequest(id="nobody's"))
