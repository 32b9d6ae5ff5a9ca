"""AG-UI against a real service: `@ag-ui/client` for Node.js, and every event held to the package's models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kit.ag_ui import body, post, said, told
from tests.kit.clients import node, service_on
from tests.kit.http import assert_refused
from waystation.testing.model_server import ModelServer, call, refuse, say
from waystation.testing.service import Service

ASKS_FIRST = '{"calculator": {"require_approval": ["multiply"]}}'
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, _model_server: ModelServer) -> Iterator[Service]:
    """Its calculator asks before it multiplies."""
    folder = tmp_path_factory.mktemp("ag-ui")
    with service_on(folder, _model_server.url, files={"mcp.json": ASKS_FIRST}) as service:
        yield service


def sent_to(model_server: ModelServer) -> list[str]:
    return [each["content"] for each in model_server.requests()[-1]["messages"] if each["role"] != "system"]


class TestTheClientForNode:
    @pytest.fixture(scope="class")
    @staticmethod
    def found(service: Service, _model_server: ModelServer) -> Any:
        """What the script tells."""
        add, multiply = ("calculator_add", {"a": 5, "b": 3}), ("calculator_multiply", {"a": 5, "b": 3})
        _model_server.script(say("One two.", reasoning="Count. ", usage=USAGE), match="ag-ui first")
        _model_server.script(say("Three."), match="ag-ui second")
        _model_server.script(say("Four."), match="ag-ui edited")
        _model_server.script(call(*add, text="I add. "), say("It is 8."), match="ag-ui tools")
        _model_server.script(say("Behind."), match="ag-ui behind tools")
        _model_server.script(call(*multiply, text="I ask. "), say("It is 15."), match="ag-ui asks")
        _model_server.script(say("After."), match="ag-ui behind asks")
        _model_server.script(call(*multiply), say("I did not."), match="ag-ui denied")
        _model_server.script(call("paint", {"colour": "red"}), say("It is red."), match="ag-ui paints")
        _model_server.script(refuse(401), match="ag-ui broken")
        return node("ag_ui.mjs", "@ag-ui/client", service.url)

    def test_it_reads_text_reasoning_and_state(self, found: Any) -> None:
        first = found["first"]
        assert (first["failed"], first["rejected"]) == (None, None)
        assert first["texts"] == ["user: ag-ui first", "reasoning: Count. ", "assistant: One two."]
        assert first["state"]["tab"] == "home"
        ours = first["state"]["waystation"]
        assert (ours["status"], ours["model"], ours["thread_id"]) == ("done", "openai", first["threadId"])
        assert "STEP_STARTED" in first["events"]

    def test_the_history_that_it_sends_is_gone_on_with_and_not_added_again(
        self, found: Any, service: Service
    ) -> None:
        home = found["first"]["threadId"]
        assert found["second"]["thread"] == home
        page = httpx.get(f"{service.url}/threads/{home}/transcript", trust_env=False, timeout=60).json()
        assert [(each["role"], each["text"]) for each in page["messages"]] == [
            ("user", "ag-ui first"),
            ("assistant", "One two."),
            ("user", "ag-ui second"),
            ("assistant", "Three."),
        ]

    def test_the_page_runs_its_own_tools_and_the_turn_goes_on(self, found: Any) -> None:
        assert found["painting"]["call"]["function"] == {"name": "paint", "arguments": '{"colour":"red"}'}
        assert (found["painted"]["failed"], found["painted"]["rejected"]) == (None, None)
        assert found["painted"]["texts"] == [
            "user: ag-ui paints",
            "assistant: ",
            "tool: painted",
            "assistant: It is red.",
        ]

    def test_an_edited_history_is_a_branch(self, found: Any, service: Service) -> None:
        branch = found["edited"]["thread"]
        assert branch != found["first"]["threadId"]
        page = httpx.get(f"{service.url}/threads/{branch}/transcript", trust_env=False, timeout=60).json()
        assert [each["text"] for each in page["messages"]] == [
            "ag-ui first",
            "One two.",
            "ag-ui edited",
            "Four.",
        ]

    def test_it_keeps_calls_with_their_results(self, found: Any) -> None:
        asked, calls, result, answer = found["tools"]["messages"]
        assert (asked["role"], calls["content"], answer["content"]) == ("user", "I add. ", "It is 8.")
        [made] = calls["toolCalls"]
        assert made["function"] == {"name": "calculator_add", "arguments": '{"a":5,"b":3}'}
        assert (result["toolCallId"], result["content"]) == (made["id"], "8")
        assert found["behind"]["thread"] == found["behind"]["home"]

    def test_what_waits_is_pending_and_its_answer_goes_on(self, found: Any) -> None:
        asks, resumed = found["asks"], found["resumed"]
        assert asks["status"] == "interrupted"
        pending = asks["pending"]
        assert (pending["reason"], pending["message"]) == ("tool_call", "May calculator run 'multiply'?")
        assert pending["responseSchema"]["required"] == ["approve"]
        assert resumed["pending"] == []
        _, calls, result, answer = resumed["messages"]
        [made] = calls["toolCalls"]
        # Told a second time, the arguments would stand there twice.
        assert made["function"]["arguments"] == '{"a":5,"b":3}'
        assert (made["id"], result["toolCallId"]) == (pending["toolCallId"], made["id"])
        assert (result["content"], answer["content"]) == ("15", "It is 15.")
        assert found["after"]["thread"] == found["after"]["home"]

    def test_an_answer_that_is_called_off_refuses(self, found: Any) -> None:
        assert found["denied"]["failed"] is None
        assert found["denied"]["texts"][-1] == "assistant: I did not."

    def test_a_run_that_fails_says_so_with_our_code(self, found: Any) -> None:
        assert found["broken"]["failed"]["code"] == "model_refused"
        assert found["broken"]["events"][-1] == "RUN_ERROR"
        rejected = found["refused"]["rejected"]
        assert (rejected["status"], rejected["payload"]["code"]) == (422, "unknown_model")


def test_parallel_calls_stand_in_one_message_and_usage_is_by_model(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(call("calculator_add", {"a": 1, "b": 2}), say("3.", usage=USAGE))
    events = told(service, body("one call"))
    starts = [event for event in events if event["type"] == "TOOL_CALL_START"]
    assert len(starts) == 1
    results = [event for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert [each["metadata"]["waystation"]["status"] for each in results] == ["ok"]
    [used] = events[-1]["usage"]
    assert (used["model"], used["totalTokens"]) == ("openai", used["inputTokens"] + used["outputTokens"])


def test_context_and_system_messages_of_the_page_reach_the_model(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(say("Yes."))
    sent = body("what do I see?", context=[{"description": "Open page", "value": "invoices"}])
    sent["messages"].insert(0, {"id": "s", "role": "system", "content": "Be brief."})
    told(service, {**sent, "forwardedProps": {"temperature": 0.25, "theirs": {"a": 1}}})
    request = model_server.requests()[-1]
    system = next(each["content"] for each in request["messages"] if each["role"] == "system")
    assert "Be brief." in system
    assert "Open page: invoices" in system
    assert request["temperature"] == 0.25


PAINT = {
    "name": "paint",
    "description": "Paints.",
    "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}},
}


def test_tools_of_the_page_are_called_by_the_model_and_run_by_the_page(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(call("paint", {"colour": "red"}, text="I paint. "), say("It is red."))
    sent = body("paint it", tools=[PAINT], protocolVersion="1.0")
    events = told(service, sent)
    offered = [tool["function"] for tool in model_server.requests()[-1]["tools"]]
    assert PAINT in offered
    [key] = [event["toolCallId"] for event in events if event["type"] == "TOOL_CALL_START"]
    assert events[-1]["outcome"] == {"type": "success", "pendingToolCallIds": [key]}
    function = {"name": "paint", "arguments": '{"colour":"red"}'}
    sent["messages"] += [
        {
            "id": "a",
            "role": "assistant",
            "content": "I paint. ",
            "toolCalls": [{"id": key, "type": "function", "function": function}],
        },
        {"id": "t", "role": "tool", "toolCallId": key, "content": "painted"},
    ]
    after = told(service, sent)
    assert (said(after), after[-1]["outcome"]) == ("It is red.", {"type": "success"})
    assert not [event for event in after if event["type"].startswith("TOOL_CALL")]
    assert model_server.requests()[-1]["messages"][-1]["content"] == "painted"
    model_server.script(say("Any time."))
    sent["messages"] += [
        {"id": "b", "role": "assistant", "content": "It is red."},
        {"id": "u2", "role": "user", "content": "thanks"},
    ]
    last = told(service, sent)
    threads = {one[1]["snapshot"]["waystation"]["thread_id"] for one in (events, after, last)}
    assert len(threads) == 1
    assert sent_to(model_server) == ["paint it", "I paint. ", "painted", "It is red.", "thanks"]


def test_results_find_their_run_also_where_the_page_calls_the_conversation_otherwise(
    service: Service, model_server: ModelServer
) -> None:
    """As agent-framework's client does, which makes up a name for each request."""
    model_server.script(call("paint", {"colour": "red"}), say("It is red."))
    sent = body("paint it under another name", tools=[PAINT])
    [key] = [each["toolCallId"] for each in told(service, sent) if each["type"] == "TOOL_CALL_START"]
    calls = [{"id": key, "type": "function", "function": {"name": "paint", "arguments": "{}"}}]
    answer = {"id": "a", "role": "assistant", "toolCalls": calls}
    result = {"id": "t", "role": "tool", "toolCallId": key, "content": "painted"}
    other = {**sent["messages"][0], "content": "paint something else"}
    wrong = {**sent, "threadId": "made up", "messages": [other, answer, result]}
    assert_refused(post(service, wrong), 409, "nothing_to_resume")
    after = told(service, {**wrong, "messages": [*sent["messages"], answer, result]})
    assert (said(after), after[0]["threadId"]) == ("It is red.", "made up")


def test_a_message_in_place_of_results_gives_the_calls_up(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(call("paint", {"colour": "red"}), match="paint or not")
    # The first is the question as it is searched for.
    model_server.script(say("leave it"), say("Then not."), match="leave it")
    sent = body("paint or not", tools=[PAINT])
    events = told(service, sent)
    # A client before 1.0 ends the run at a field that it does not know.
    assert events[-1]["outcome"] == {"type": "success"}
    [key] = [event["toolCallId"] for event in events if event["type"] == "TOOL_CALL_START"]
    function = {"name": "paint", "arguments": '{"colour":"red"}'}
    calls = [{"id": key, "type": "function", "function": function}]
    sent["messages"] += [
        {"id": "a", "role": "assistant", "toolCalls": calls},
        {"id": "u2", "role": "user", "content": "leave it"},
    ]
    after = told(service, sent)
    assert (said(after), after[-1]["outcome"]) == ("Then not.", {"type": "success"})
    late = {"id": "t", "role": "tool", "toolCallId": key, "content": "painted"}
    stale = {**sent, "messages": [*sent["messages"][:2], late]}
    assert_refused(post(service, stale), 409, "nothing_to_resume")


def test_a_file_in_a_message_is_a_file_of_the_turn_and_citations_are_told(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(say("Fourteen days [1]."))
    part = {"type": "document", "source": {"type": "data", "value": "aGVsbG8=", "mimeType": "text/plain"}}
    text = {"type": "text", "text": "How long is a berth reserved at most?"}
    events = told(service, body([text, {**part, "metadata": {"filename": "note.txt"}}]))
    assert said(events) == "Fourteen days [1]."
    [cited] = [event["value"] for event in events if event.get("name") == "citations"] or [None]
    state = [each for event in events if event["type"] == "STATE_DELTA" for each in event["delta"]]
    assert [each["value"] for each in state if each["path"] == "/waystation/citations"] == [cited]
    assert cited[0]["source"] == "harbour"
    names = [
        each["filename"] for each in httpx.get(f"{service.url}/files", trust_env=False, timeout=60).json()
    ]
    assert "note.txt" in names


def test_a_thread_that_is_named_is_gone_on_with_whatever_is_sent(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(say("First."), say("Second."))
    told(service, body("one"))
    first = post(service, body("named one")).headers["x-thread-id"]
    model_server.script(say("Third."))
    told(service, body("named two", forwardedProps={"waystation": {"thread_id": first}}))
    assert sent_to(model_server)[0] == "named one"


def test_a_conversation_of_somebody_elses_service_begins_a_thread_with_it(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(say("Fine."))
    function = {"name": "look", "arguments": '{"at": "sky"}'}
    look = {"id": "c", "type": "function", "function": function}
    history = [
        {"id": "1", "role": "user", "content": "hello"},
        {
            "id": "2",
            "role": "assistant",
            "toolCalls": [look],
        },
        {"id": "3", "role": "tool", "toolCallId": "c", "content": "blue"},
        {"id": "4", "role": "assistant", "content": "It is blue."},
        {"id": "5", "role": "reasoning", "content": "Hm."},
        {"id": "6", "role": "user", "content": "and now?"},
    ]
    told(service, {**body(), "threadId": "elsewhere", "messages": history})
    seen = [each for each in model_server.requests()[-1]["messages"] if each["role"] != "system"]
    assert [each["role"] for each in seen] == ["user", "assistant", "tool", "assistant", "user"]
    assert seen[2]["content"] == "blue"


def test_a_page_that_goes_away_ends_its_turn_and_what_it_read_is_gone_on_with(
    service: Service, model_server: ModelServer
) -> None:
    model_server.script(say("One two three.", hang_after=2))
    sent = {**body("leave"), "threadId": "left"}
    read = ""
    with (
        httpx.Client(timeout=60, trust_env=False) as http,
        http.stream("POST", f"{service.url}/ag-ui", json=sent) as answer,
    ):
        run_id = answer.headers["x-run-id"]
        for line in answer.iter_lines():
            event = json.loads(line[6:]) if line.startswith("data: ") else {}
            read += event.get("delta", "") if event.get("type") == "TEXT_MESSAGE_CONTENT" else ""
            if read == "One two ":
                break
    url = f"{service.url}/runs/{run_id}/wait"
    waited = httpx.get(url, params={"timeout": 30}, timeout=60, trust_env=False)
    assert waited.json()["status"] == "cancelled"
    model_server.script(say("Four."))
    behind = [
        {"id": "a", "role": "assistant", "content": read},
        {"id": "u2", "role": "user", "content": "go on"},
    ]
    assert post(service, {**sent, "messages": [*sent["messages"], *behind]}).headers["x-thread-id"] == "left"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messages": []}, "invalid_request"),
        ({"messages": "hi"}, "invalid_request"),
        ({"messages": [{"id": "1", "role": "assistant", "content": "hi"}]}, "invalid_request"),
        ({"threadId": ""}, "invalid_request"),
        ({"forwardedProps": {"waystation": {"colour": "red"}}}, "invalid_request"),
        ({"forwardedProps": {"waystation": 5}}, "invalid_request"),
        ({"resume": [{"interruptId": "none", "status": "resolved"}]}, "nothing_to_resume"),
        (
            {"messages": [{"id": "1", "role": "tool", "toolCallId": "c", "content": "painted"}]},
            "nothing_to_resume",
        ),
        ({"tools": [{"name": "a b", "description": "", "parameters": {}}]}, "unsupported_parameter"),
        ({"tools": [{"name": "a", "description": "", "parameters": 5}]}, "unsupported_parameter"),
        ({"tools": [{"name": "a", "description": "", "parameters": {}}] * 2}, "unsupported_parameter"),
        ({"tools": [{"name": "a", "description": "x" * 70_000, "parameters": {}}]}, "unsupported_parameter"),
        (
            {
                "messages": [
                    {
                        "id": "1",
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "url", "value": "http://x/y.png"}}],
                    }
                ]
            },
            "unsupported_parameter",
        ),
    ],
)
def test_what_is_not_done_is_refused_before_the_run(
    service: Service, change: dict[str, Any], code: str
) -> None:
    answer = post(service, {**body(), **change})
    refused = assert_refused(answer, answer.status_code, code)
    assert answer.status_code in (409, 422)
    assert refused["type"] == "RUN_ERROR"
    assert refused["message"]


def test_copilotkits_runtime_runs_the_agent_and_tools_of_its_page(
    service: Service, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPILOTKIT_TELEMETRY_DISABLED", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    add = call("calculator_add", {"a": 5, "b": 3}, text="I add. ")
    model_server.script(add, say("It is 8."), match="copilot adds")
    model_server.script(call("paint", {}), say("It is red."), match="copilot paints")
    found = node("copilot.mjs", "@copilotkit/runtime", service.url, environment="copilot")
    assert "default" in found["info"]["agents"]
    assert said(found["first"]) == "I add. It is 8."
    [result] = [event["content"] for event in found["first"] if event["type"] == "TOOL_CALL_RESULT"]
    assert (result, found["first"][-1]["type"]) == ("8", "RUN_FINISHED")
    assert (found["painting"][-1]["type"], said(found["painted"])) == ("RUN_FINISHED", "It is red.")
