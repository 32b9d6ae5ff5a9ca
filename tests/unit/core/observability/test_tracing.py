from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from core.correlation import correlated
from core.errors import TimedOut
from core.observability import (
    REGISTRY,
    extracted,
    file_span,
    inject,
    model_span,
    node_span,
    recording,
    retrieval_span,
    span,
    start_telemetry,
    tool_span,
    trace_id,
    traceparent,
    turn_span,
)
from core.observability.tracing import OFF
from core.settings.platform import TelemetrySettings
from tests.kit.otlp_server import OtlpServer, SpanSeen

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Paused(Exception):
    """What a graph raises to wait for a person."""


class Traced:
    """Spans on, into a collector of our own; `spans()` ends the export and gives what came."""

    def __init__(self, collector: OtlpServer) -> None:
        self._collector = collector
        self._telemetry = start_telemetry(
            TelemetrySettings(otlp_endpoint=collector.url, metrics=False, service_name="ours")
        )

    def spans(self) -> dict[str, SpanSeen]:
        self._telemetry.stop(seconds=10)
        return {span.name: span for span in self._collector.spans}


@pytest.fixture
def traced() -> Iterator[Traced]:
    with OtlpServer() as collector:
        found = Traced(collector)
        yield found
        found.spans()


def test_without_a_collector_a_span_is_the_same_object_that_does_nothing() -> None:
    assert not recording()
    with span("one", work=1) as one, turn_span() as two, tool_span("add") as three, retrieval_span() as four:
        assert one is two is three is four is OFF
        one.set(work=2)
        one.error("timed_out")
        assert traceparent() == trace_id() == ""
        headers: dict[str, str] = {}
        inject(headers)
        assert headers == {}


def test_a_turn_is_a_tree_of_spans_named_by_the_genai_conventions(traced: Traced) -> None:
    with (
        correlated(run_id="r1", thread_id="t1", request_id="q1", user="ada"),
        turn_span(model="small") as turn,
    ):
        with node_span("retrieve"), retrieval_span("handbook", top_k=4) as found:
            found.set(passages=3)
        with node_span("call_model"), model_span("gpt-x", provider="openai", stream=True) as call:
            call.set(input_tokens=12, output_tokens=7, response_model="gpt-x-1", first_chunk_s=0.2)
        with tool_span("add", server="calculator", call_id="call_1"), file_span("put", backend="s3") as put:
            put.set(size=5)
        turn.set(status="done", missing=None)
    spans = traced.spans()
    assert len({one.trace_id for one in spans.values()}) == 1
    turn_seen = spans["invoke_agent waystation"]
    assert (turn_seen.parent_id, turn_seen.kind) == ("", "internal")
    assert turn_seen.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "waystation",
        "gen_ai.conversation.id": "t1",
        "gen_ai.request.model": "small",
        "waystation.run_id": "r1",
        "waystation.request_id": "q1",
        "waystation.status": "done",
    }
    chat = spans["chat gpt-x"]
    assert (chat.kind, chat.parent_id) == ("client", spans["node call_model"].span_id)
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-x-1",
        "gen_ai.response.time_to_first_chunk": 0.2,
        "gen_ai.conversation.id": "t1",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
    }
    assert spans["node call_model"].parent_id == turn_seen.span_id
    assert spans["retrieval handbook"].attributes == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "handbook",
        "gen_ai.request.top_k": 4,
        "waystation.passages": 3,
    }
    assert spans["execute_tool add"].attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_1",
        "mcp.method.name": "tools/call",
        "waystation.server": "calculator",
    }
    assert spans["file put"].attributes == {
        "waystation.file_operation": "put",
        "waystation.file_backend": "s3",
        "waystation.size": 5,
    }
    assert turn_seen.resource["service.name"] == "ours"
    assert "ada" not in str([span.attributes for span in spans.values()])


def test_a_failed_span_names_the_code_of_the_error_and_not_its_text(traced: Traced) -> None:
    with pytest.raises(TimedOut), span("ours"):
        raise TimedOut("the question was: where is my salary slip")
    with pytest.raises(KeyError), span("theirs"):
        raise KeyError("salary")
    with span("told") as told:
        told.error("tool_failed")
    spans = traced.spans()
    assert all(found.failed and not found.events and not found.status_text for found in spans.values())
    assert {name: found.attributes for name, found in spans.items()} == {
        "ours": {"error.type": "timed_out"},
        "theirs": {"error.type": "KeyError"},
        "told": {"error.type": "tool_failed"},
    }
    assert "salary" not in str(spans)


def test_a_pause_and_a_cancelled_turn_are_no_failures(traced: Traced) -> None:
    with pytest.raises(Paused), node_span("execute_tools", calm=(Paused,)):
        raise Paused
    with pytest.raises(asyncio.CancelledError), span("cancelled"):
        raise asyncio.CancelledError
    spans = traced.spans()
    assert not any(found.failed for found in spans.values())
    assert spans["node execute_tools"].attributes["waystation.outcome"] == "interrupted"
    assert spans["cancelled"].attributes["waystation.outcome"] == "cancelled"


async def test_tasks_belong_to_the_span_in_which_they_were_made(traced: Traced) -> None:
    async def work(name: str) -> None:
        with span(name):
            await asyncio.sleep(0)

    with span("first"):
        first = asyncio.create_task(work("of first"))
    with span("second"):
        second = asyncio.create_task(work("of second"))
    await asyncio.gather(first, second)
    spans = traced.spans()
    assert spans["of first"].parent_id == spans["first"].span_id
    assert spans["of second"].parent_id == spans["second"].span_id


async def test_a_stream_that_another_task_closes_ends_its_span_quietly(
    traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    async def tokens() -> AsyncIterator[str]:
        with span("stream"):
            yield "one"
            yield "two"

    stream = tokens()

    async def begin() -> str:
        return await anext(stream)

    async def close() -> None:
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator, as callers see it

    assert await asyncio.create_task(begin()) == "one"
    await asyncio.create_task(close())
    assert traced.spans()["stream"].attributes == {"waystation.outcome": "cancelled"}
    assert caplog.records == []


@pytest.mark.parametrize("name", ["traceparent", "Traceparent"])
def test_the_callers_trace_goes_on_here_and_on_to_whom_we_call(traced: Traced, name: str) -> None:
    with extracted({name: PARENT, "baggage": "user=ada", "tracestate": "x=1"}), span("work"):
        headers = {"accept": "*/*"}
        inject(headers)
    work = traced.spans()["work"]
    assert (work.trace_id, work.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert headers == {"accept": "*/*", "traceparent": f"00-{work.trace_id}-{work.span_id}-01"}


def test_with_tracing_off_the_callers_trace_passes_through_unchanged() -> None:
    headers: dict[str, str] = {}
    with extracted({"traceparent": PARENT}) as edge, span("work"):
        edge.set(ignored=1)
        edge.error("ignored")
        inject(headers)
        assert trace_id() == PARENT[3:35]
    assert headers == {"traceparent": PARENT}
    assert traceparent() == ""


@pytest.mark.parametrize(
    "given",
    ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff" + PARENT[2:], PARENT + "-x", "0" * 9000],
)
def test_a_header_that_is_no_traceparent_changes_nothing(given: str) -> None:
    with extracted({"traceparent": given}):
        assert traceparent() == ""


def test_a_trace_that_the_caller_does_not_record_is_not_recorded_here(traced: Traced) -> None:
    with extracted({"traceparent": PARENT[:-2] + "00"}), span("unrecorded") as quiet:
        quiet.set(work=1)
        assert traceparent().endswith("-00")
    with span("recorded"):
        pass
    assert traced.spans().keys() == {"recorded"}


def test_a_model_call_is_measured_also_without_a_collector() -> None:
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "test",
        "gen_ai_request_model": "measured",
    }
    with model_span("measured", provider="test") as call:
        call.set(input_tokens=12, output_tokens=5, stream=True)
    with pytest.raises(TimedOut), model_span("measured", provider="test"):
        raise TimedOut
    with model_span("measured", provider="test") as call:
        call.error("rate_limited")
    with pytest.raises(asyncio.CancelledError), model_span("measured", provider="test"):
        raise asyncio.CancelledError

    def seconds(code: str) -> float | None:
        return REGISTRY.get_sample_value(
            "gen_ai_client_operation_duration_seconds_count", {**labels, "error_type": code}
        )

    assert [seconds(code) for code in ("", "timed_out", "rate_limited", "cancelled")] == [1, 1, 1, 1]
    tokens = "gen_ai_client_token_usage_sum"
    assert REGISTRY.get_sample_value(tokens, {**labels, "gen_ai_token_type": "input"}) == 12
    assert REGISTRY.get_sample_value(tokens, {**labels, "gen_ai_token_type": "output"}) == 5
