"""The `openai` package and files: uploaded, asked about, made by a turn, fetched, listed, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import openai
import pytest

from core.access import Principal
from core.identity.keys import KeyStore
from core.task_queue import TaskQueue
from core.task_queue.task import TaskContext
from graph.agent import Agent
from nodes.file_storage import FileManager
from nodes.file_storage.tasks import ExpiringFile, expire_file
from tests.kit.http import served
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, say

CSV = b"region,amount\nnorth,5\nsouth,3\n"
# One of this group may have a single file.
ROOM = {"groups": {"small": {"files": 1, "bytes": 0}}}


@dataclass(frozen=True)
class House:
    """A service where people log in, and its clients."""

    agent: Agent
    base: str

    async def client(self, user: str, *groups: str) -> openai.AsyncOpenAI:
        _, key = await KeyStore(self.agent.engine).create(user, groups=groups)
        http = openai.DefaultAsyncHttpxClient(trust_env=False, timeout=120)
        return openai.AsyncOpenAI(base_url=f"{self.base}/v1", api_key=key, http_client=http, max_retries=0)


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("openai-files")
    async with (
        open_agent(
            folder, model_url=_model_server.url, tools={"tables"}, auth={"mode": "keys"}, file_storage=ROOM
        ) as agent,
        served(agent) as base,
    ):
        yield House(agent, base)


@pytest.fixture
async def client(house: House, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    """Of somebody whom no other test knows."""
    async with await house.client(f"of-{abs(hash(request.node.name))}") as client:
        yield client


async def upload(client: openai.AsyncOpenAI, name: str = "sales.csv", **more: Any) -> Any:
    return await client.files.create(**{"file": (name, CSV), "purpose": "user_data", **more})


def seen_by_the_model(model_server: ModelServer) -> str:
    return str([one["content"] for one in model_server.requests()[-1]["messages"]])


async def test_a_file_is_uploaded_shown_fetched_and_deleted(client: openai.AsyncOpenAI) -> None:
    made = await upload(client, purpose="assistants")
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", 30, "sales.csv", "assistants")
    assert (made.status, made.expires_at) == ("processed", None)
    assert abs(made.created_at - datetime.now(UTC).timestamp()) < 3600
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.wait_for_processing(made.id)).id == made.id
    assert (await client.files.content(made.id)).content == CSV
    part = await client.files.content(made.id, extra_headers={"range": "bytes=0-5"})
    assert part.content == b"region"
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "file", True)
    with pytest.raises(openai.NotFoundError) as caught:
        await client.files.content(made.id)
    assert caught.value.code == "file_not_found"


async def test_both_kinds_of_requests_take_a_file_by_its_id(
    client: openai.AsyncOpenAI, model_server: ModelServer
) -> None:
    made = await upload(client)
    parts: Any = [
        {"type": "text", "text": "How much in the south?"},
        {"type": "file", "file": {"file_id": made.id}},
    ]
    answer: Any = await client.chat.completions.create(
        model="waystation", messages=[{"role": "user", "content": parts}]
    )
    assert answer.waystation["files"] == [], "those are what the turn made"
    assert "south,3" in seen_by_the_model(model_server)
    items: Any = [
        {"type": "input_text", "text": "How much in the north?"},
        {"type": "input_file", "file_id": made.id},
    ]
    response = await client.responses.create(model="waystation", input=[{"role": "user", "content": items}])
    assert "north,5" in seen_by_the_model(model_server)
    [item] = (await client.responses.input_items.list(response.id)).data
    assert item.model_dump()["content"][1]["file_id"] == made.id


async def test_a_file_that_a_turn_made_is_named_by_an_annotation_and_fetched(
    client: openai.AsyncOpenAI, model_server: ModelServer
) -> None:
    sales = await upload(client)
    total = call("tables_aggregate", {"filename": "sales.csv", "column": "amount", "function": "sum"})
    model_server.script(total, say("Here it is."), total, say("And again."))
    items: Any = [{"type": "input_text", "text": "Sum it up."}, {"type": "input_file", "file_id": sales.id}]
    response: Any = await client.responses.create(
        model="waystation", input=[{"role": "user", "content": items}]
    )
    [annotation] = response.output[-1].content[0].annotations
    assert (annotation.type, annotation.index) == ("file_path", 0)
    assert b"8" in (await client.files.content(annotation.file_id)).content
    made = await client.files.retrieve(annotation.file_id)
    assert (made.purpose, made.filename) == ("assistants_output", annotation.filename)
    assert [one.id async for one in client.files.list(purpose="assistants_output")] == [made.id]
    stored: Any = await client.responses.retrieve(response.id)
    assert stored.output[-1].content[0].annotations == [annotation]
    events: list[Any] = [
        event
        async for event in await client.responses.create(
            model="waystation", input="Again.", previous_response_id=response.id, stream=True
        )
    ]
    [added] = [one.annotation for one in events if one.type == "response.output_text.annotation.added"]
    [last] = events[-1].response.output[-1].content[0].annotations
    assert (added.file_id, added.type) == (last.file_id, "file_path")
    assert last.file_id != made.id


async def test_files_are_listed_by_age_whatever_became_of_them_since(client: openai.AsyncOpenAI) -> None:
    assert (await client.files.list()).data == []
    ids = [
        (await upload(client, f"{n}.csv", purpose=p)).id for n, p in enumerate(["evals", "vision", "evals"])
    ]
    await client.responses.create(
        model="waystation",
        input=[{"role": "user", "content": [{"type": "input_file", "file_id": ids[0]}]}],
    )
    assert [one.id async for one in client.files.list(limit=1)] == ids[::-1]
    assert [one.id async for one in client.files.list(limit=2, order="asc")] == ids
    assert [one.id async for one in client.files.list(purpose="evals", order="asc")] == [ids[0], ids[2]]
    page = await client.files.list(limit=2)
    assert (page.has_more, [one.id for one in page.data]) == (True, ids[:0:-1])
    await client.files.delete(ids[1])
    with pytest.raises(openai.NotFoundError) as caught:
        await page.get_next_page()
    assert caught.value.code == "file_not_found"


async def test_files_are_their_owners_alone(client: openai.AsyncOpenAI, house: House) -> None:
    made = await upload(client)
    async with await house.client("eve") as other:
        assert [one async for one in other.files.list()] == []
        message: Any = [{"type": "file", "file": {"file_id": made.id}}]
        for refused in (
            other.files.retrieve(made.id),
            other.files.content(made.id),
            other.files.delete(made.id),
            other.files.list(after=made.id),
            other.chat.completions.create(
                model="waystation", messages=[{"role": "user", "content": message}]
            ),
        ):
            with pytest.raises(openai.NotFoundError) as caught:
                await refused
            assert caught.value.code == "file_not_found"
    assert (await client.files.retrieve(made.id)).id == made.id


async def test_who_has_no_room_is_told_so(house: House) -> None:
    async with await house.client("sam", "small") as client:
        await upload(client)
        with pytest.raises(openai.APIStatusError) as caught:
            await upload(client, "b.csv")
        assert (caught.value.status_code, caught.value.code) == (413, "file_total_reached")
        assert len((await client.files.list()).data) == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"purpose": "assistants_output"}, "purpose"),
        ({"purpose": openai.omit}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "last_active_at", "seconds": 7200}}, "expires_after.anchor"),
        ({"expires_after": {"seconds": 7200}}, "expires_after.anchor"),
        ({"extra_body": {"expires_after": "soon"}}, "expires_after"),
    ],
)
async def test_a_field_that_says_nothing_is_refused_by_its_name_and_nothing_is_stored(
    client: openai.AsyncOpenAI, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await upload(client, **given)
    assert (caught.value.code, caught.value.param) == ("invalid_request", field)
    assert (await client.files.list()).data == []


@pytest.mark.parametrize("given", [{"limit": 0}, {"limit": 10_001}, {"order": "up"}])
async def test_a_list_that_cannot_be_is_refused(client: openai.AsyncOpenAI, given: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.files.list(**given)
    assert (caught.value.code, caught.value.param) == ("invalid_request", next(iter(given)))


async def test_what_is_no_form_is_refused_in_words_for_its_sender(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.post("/files", body={"file": "x"}, cast_to=object)
    assert (caught.value.status_code, caught.value.code) == (415, "unsupported_media_type")
    assert "multipart/form-data" in caught.value.message


async def report(done: float, total: float | None, message: str) -> None:
    """Nobody watches."""


async def test_a_file_ends_at_its_time_unless_its_tag_has_gone(house: House) -> None:
    who = Principal("zoe")
    queue, files = await house.agent.container.get(TaskQueue), await house.agent.container.get(FileManager)
    async with await house.client("zoe") as client:
        end: Any = {"anchor": "created_at", "seconds": 3600}
        made = await upload(client, expires_after=end)
        assert made.expires_at == made.created_at + 3600
        assert (await client.files.retrieve(made.id)).expires_at == made.expires_at
        [task] = [one for one in await queue.list() if one.arguments == {"key": made.id}]
        assert (task.name, task.status) == ("expire_file", "queued")
        assert abs(task.due_at - made.expires_at) < 600
        kept = await upload(client, expires_after=end)
        context = TaskContext(house.agent.container, who, "t", 1, report)
        await expire_file(ExpiringFile(key=made.id), context)
        later = [one for one in await queue.list() if one.arguments == {"key": made.id}]
        assert [one.key for one in later].count(None) == 1, "not yet: looked at again at its time"
        await files.tag(who, made.id, {}, end="2020-01-01T00:00:00+00:00")
        await files.tag(who, kept.id, {"expires_at": None})
        for key in (made.id, kept.id, "gone-already"):
            await expire_file(ExpiringFile(key=key), context)
        assert [one.id async for one in client.files.list()] == [kept.id]
