"""The `openai` package for Python against a real service: responses, and approvals on both wires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from waystation.testing.model_server import ModelServer, call, hang, refuse, say
from waystation.testing.service import Service


def client_of(service: Service) -> Iterator[openai.OpenAI]:
    with (
        openai.DefaultHttpxClient(trust_env=False, timeout=120) as http,
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", http_client=http) as client,
    ):
        yield client


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    yield from client_of(service)


def sent(model_server: ModelServer) -> list[str]:
    return [one["content"] for one in model_server.requests()[-1]["messages"] if one["role"] != "system"]


def asked(client: openai.OpenAI, given: Any, **more: Any) -> Any:
    return client.responses.create(model="waystation", input=given, **more)


def test_a_whole_response_has_text_usage_and_its_thread(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(say("Hello you.", usage={"prompt_tokens": 7, "completion_tokens": 3}))
    found = asked(client, "hi", instructions="Be brief.", metadata={"a": "b"}, max_output_tokens=50)
    assert (found.object, found.status, found.output_text) == ("response", "completed", "Hello you.")
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (7, 3, 10)
    assert found.usage.output_tokens_details.reasoning_tokens == 0
    assert (found.instructions, found.metadata, found.max_output_tokens) == ("Be brief.", {"a": "b"}, 50)
    assert found.conversation.id.startswith("t_")
    assert model_server.requests()[-1]["messages"][0]["content"].endswith("Be brief.")


def test_a_stream_opens_fills_and_closes_and_counts_up(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("It is 8."))
    events: list[Any] = list(asked(client, "Add 5 and 3.", stream=True))
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[:2] == [0, 1]
    kinds = [event.type for event in events if not event.type.endswith(".delta")]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(event.delta for event in events if event.type.endswith(".delta")) == "It is 8."
    ran, said = events[-1].response.output
    assert (ran.type, ran.name, ran.output, ran.status) == ("mcp_call", "add", "8", "completed")
    assert (said.type, events[-1].response.output_text) == ("message", "It is 8.")


def test_the_helper_for_streams_reads_ours(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(say("Hello you."))
    with client.responses.stream(model="waystation", input="hi") as stream:
        assert "".join(e.delta for e in stream if e.type == "response.output_text.delta") == "Hello you."
        assert stream.get_final_response().output_text == "Hello you."


def test_a_response_is_gone_on_with_and_branched_from(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(say("A."), say("B."), say("C."))
    first = asked(client, "one")
    second = asked(client, "two", previous_response_id=first.id)
    assert second.conversation.id == first.conversation.id
    assert second.previous_response_id == first.id
    other = asked(client, "another two", previous_response_id=first.id)
    assert other.conversation.id != first.conversation.id
    assert sent(model_server) == ["one", "A.", "another two"]
    named = asked(client, "three", conversation=first.conversation.id)
    assert named.conversation.id == first.conversation.id
    with pytest.raises(openai.NotFoundError) as caught:
        asked(client, "two", previous_response_id="resp-of-nobody")
    assert caught.value.code == "run_not_found"


def test_a_list_of_items_is_a_conversation(client: openai.OpenAI, model_server: ModelServer) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"role": "assistant", "type": "message", "content": [{"type": "output_text", "text": "A."}]},
        {"role": "user", "content": "two"},
    ]
    asked(client, items)
    assert sent(model_server) == ["one", "A.", "two"]


def test_a_response_is_found_again_with_its_input_and_goes(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(say("A."), say("B."))
    first = asked(client, "one")
    again = client.responses.retrieve(first.id)
    assert (again.id, again.output_text, again.status) == (first.id, "A.", "completed")
    [item] = client.responses.input_items.list(first.id).data
    assert item.model_dump()["content"][0]["text"] == "one"
    second = asked(client, "two", previous_response_id=first.id)
    with pytest.raises(openai.ConflictError) as caught:
        client.responses.delete(second.id)
    assert caught.value.code == "response_in_thread"
    alone = asked(client, "alone")
    client.responses.delete(alone.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(alone.id)


def test_one_in_the_background_is_cancelled(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(hang())
    begun = asked(client, "wait", background=True)
    assert begun.status in ("queued", "in_progress")
    assert begun.background is True
    model_server.wait_for_active(1)
    ended = client.responses.cancel(begun.id)
    assert ended.status == "cancelled"
    assert client.responses.cancel(begun.id).status == "cancelled"


def test_one_in_the_background_is_waited_for_and_told_again(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(say("In my own time."))
    begun = asked(client, "go", background=True)
    events: list[Any] = list(client.responses.retrieve(begun.id, stream=True))
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert numbers[:2] == [0, 1]
    assert events[-1].response.output_text == "In my own time."
    assert client.responses.retrieve(begun.id).status == "completed"


def test_a_failed_response_says_why(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(*[refuse(401)] * 2)
    found = asked(client, "hi")
    assert (found.status, found.error.code) == ("failed", "model_refused")
    events: list[Any] = list(asked(client, "hi", stream=True))
    assert (events[-1].type, events[-1].response.error.code) == ("response.failed", "model_refused")


def test_a_cut_response_is_incomplete(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(*[say("Cut here", finish_reason="length")] * 2)
    found = asked(client, "long")
    assert (found.status, found.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    events: list[Any] = list(asked(client, "long", stream=True))
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize(
    ("given", "more", "field"),
    [
        ("hi", {"tools": [{"type": "web_search"}]}, "tools.0"),
        ("hi", {"max_tool_calls": 3}, "max_tool_calls"),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(
    client: openai.OpenAI, given: Any, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        asked(client, given, **more)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", field)


def test_a_stream_is_taken_up_where_it_was_left(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), say("It is 8, as ever, and so on."))
    live: list[Any] = list(asked(client, "Add 5 and 3.", stream=True))
    whole = live[-1].response
    for seen, event in enumerate(live[:-1]):
        rest: list[Any] = list(
            client.responses.retrieve(whole.id, stream=True, starting_after=event.sequence_number)
        )
        numbers = [one.sequence_number for one in rest]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > event.sequence_number
        before = "".join(one.delta for one in live[: seen + 1] if one.type.endswith("text.delta"))
        after = "".join(one.delta for one in rest if one.type.endswith("text.delta"))
        assert before + after == "It is 8, as ever, and so on."
        assert rest[-1].response.output == whole.output
    assert list(client.responses.retrieve(whole.id, stream=True, starting_after=10**9)) == []


class TestApprovals:
    """The calculator asks before it is used."""

    @pytest.fixture
    def client(self, asking_service: Service) -> Iterator[openai.OpenAI]:
        yield from client_of(asking_service)

    @pytest.mark.parametrize(("approve", "told"), [(True, "8"), (False, "not today")])
    def test_a_response_that_waits_is_answered_by_its_item(
        self, client: openai.OpenAI, model_server: ModelServer, *, approve: bool, told: str
    ) -> None:
        used = {"prompt_tokens": 7, "completion_tokens": 3}
        model_server.script(call("calculator_add", {"a": 5, "b": 3}, usage=used), say("Done.", usage=used))
        waiting = asked(client, "Add 5 and 3.")
        [question] = [item for item in waiting.output if item.type == "mcp_approval_request"]
        assert (question.name, question.server_label) == ("add", "calculator")
        answer = {"type": "mcp_approval_response", "approval_request_id": question.id, "approve": approve}
        answer |= {} if approve else {"reason": "not today"}
        found = asked(client, [answer], previous_response_id=waiting.id)
        assert found.output_text == "Done."
        assert told in model_server.requests()[-1]["messages"][-1]["content"]
        # The answer is a response of its own, and the one that waited stays what it was.
        assert (found.id, found.previous_response_id) == (f"{waiting.id}_1", waiting.id)
        assert [item.type for item in found.output] == ["mcp_call", "message"]
        again = client.responses.retrieve(waiting.id)
        assert (again.status, again.output) == ("completed", waiting.output)
        told_again = list(client.responses.retrieve(waiting.id, stream=True))
        assert told_again[-1].type == "response.completed"
        assert told_again[-1].response.output[-1].id == question.id
        later = client.responses.retrieve(found.id)
        assert (later.output, later.usage) == (found.output, found.usage)
        assert found.usage is not None
        assert waiting.usage is not None
        assert found.usage.total_tokens == 10 == waiting.usage.total_tokens
        streamed = list(client.responses.retrieve(found.id, stream=True))[-1]
        assert streamed.type == "response.completed"
        assert [item.type for item in streamed.response.output] == ["mcp_call", "message"]
        assert list(client.responses.input_items.list(found.id)) == []
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(f"{waiting.id}_2")
        assert asked(client, "And now?", previous_response_id=found.id).conversation == found.conversation

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(("word", "told"), [("approve", "8"), ("reject: not today", "not today")])
    def test_a_chat_that_waits_says_how_and_is_answered_by_a_word(
        self, client: openai.OpenAI, model_server: ModelServer, word: str, told: str, *, stream: bool
    ) -> None:
        model_server.script(
            call("calculator_add", {"a": 5, "b": 3}, text="I would add. "), say("Done."), say("Yes.")
        )
        said: list[Any] = [{"role": "user", "content": f"Add 5 and 3 {word} {stream}."}]
        waits = self._text(client, said, stream=stream)
        assert 'Send "approve" or "reject"' in waits
        said += [{"role": "assistant", "content": waits}, {"role": "user", "content": word}]
        assert self._text(client, said, stream=stream) == "Done."
        assert told in model_server.requests()[-1]["messages"][-1]["content"]
        said += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Sure?"}]
        assert self._text(client, said, stream=stream) == "Yes."
        roles = [one["role"] for one in model_server.requests()[-1]["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]

    def test_another_message_does_not_answer_the_question(
        self, client: openai.OpenAI, model_server: ModelServer
    ) -> None:
        model_server.script(call("calculator_add", {"a": 1, "b": 3}))
        said: list[Any] = [{"role": "user", "content": "Add 1 and 3."}]
        waits = self._text(client, said, stream=False)
        said += [{"role": "assistant", "content": waits}, {"role": "user", "content": "What for?"}]
        with pytest.raises(openai.ConflictError) as caught:
            client.chat.completions.create(model="waystation", messages=said)
        assert caught.value.code == "thread_waiting"

    @staticmethod
    def _text(client: openai.OpenAI, said: list[Any], *, stream: bool) -> str:
        found: Any = client.chat.completions.create(model="waystation", messages=said, stream=stream)
        if not stream:
            return str(found.choices[0].message.content)
        return "".join(choice.delta.content or "" for chunk in found for choice in chunk.choices)
