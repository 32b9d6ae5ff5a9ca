"""Bytes of compatible servers, as they are really sent, become pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from nodes.llm.adapters import answers as reading_module
from nodes.llm.adapters import sse
from nodes.llm.adapters.answers import EndpointError, NoAnswer, Reading
from nodes.llm.adapters.sse import EventTooLong
from nodes.llm.assembly import Assembly
from nodes.llm.models import MALFORMED
from nodes.llm.profiles import DEFAULT

DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]})


def read(*parts: bytes, offered: tuple[str, ...] = ()) -> tuple[Assembly, bool]:
    """What an answer adds up to, and whether it ended as one does."""
    found, assembly = Reading(DEFAULT), Assembly(offered=offered, profile=DEFAULT, think_tags=True)
    for part in parts:
        for piece in found.feed(part):
            assembly.add(piece)
        if found.done:
            break
    for piece in found.end():
        assembly.add(piece)
    return assembly, bool(assembly.finish)


def said(*parts: bytes, **options: Any) -> tuple[AIMessage, str]:
    """The message of an answer that ended, and why it did."""
    assembly, ended = read(*parts, **options)
    assert ended
    return assembly.message(), assembly.finish


def calls_of(*parts: bytes, offered: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    message, _ = said(*parts, chunk({}, "tool_calls"), offered=offered)
    return [(call["name"], call["args"]) for call in message.tool_calls]


def part(index: int | None = 0, name: str | None = None, args: Any = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in {"name": name, "arguments": args}.items() if value is not None}
    return {"index": index, "function": function, **more}


HELLO = chunk({"content": "Hel"}) + chunk({"content": "lo"}) + chunk({}, "stop") + DONE
WHOLE = {"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "body",
    [
        HELLO,
        HELLO.replace(b"\n", b"\r\n"),
        HELLO.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + HELLO,
        b"\n\n  " + HELLO,
        HELLO.replace(b"data: ", b"data:"),
        HELLO.replace(b"\n\n", b"\n"),
        HELLO.replace(DONE, b""),
        HELLO.replace(b"data: [DONE]", b"data: [DONE] "),
        HELLO + b"data: {broken\n\n<html>",
        b": OPENROUTER PROCESSING\n\n" + HELLO.replace(b"\n\n", b"\n\n: ping\n\n"),
        HELLO.replace(b"data: {", b"id: 7\nretry: 10\nevent: message\ndata: {"),
        b"event: ping\ndata: ping\n\ndata:\n\n" + HELLO,
        HELLO.replace(b"data: {", b"{").replace(b"\n\n", b"\n"),
        chunk({"role": "assistant"}) * 3 + HELLO,
        chunk({"role": "assistant", "content": None}) + HELLO,
        HELLO.replace(b'"index": 0, ', b""),
        event({"choices": []}) + event({"choices": None}) + event([1]) + HELLO,
        event({"error": None, "choices": [], "prompt_filter_results": []}) + HELLO,
        HELLO.replace(b'"Hel"', b'[{"type": "text", "text": "Hel"}, {"type": "image"}]'),
        HELLO.replace(b'"Hel"', b'["Hel"]'),
        HELLO.replace(b'{"content": "lo"}', b'{"refusal": "lo", "content": null}'),
        event({"choices": [{"text": "Hel", "finish_reason": None}]}) + HELLO.replace(b"Hel", b""),
        event({"choices": [{"index": 1, "delta": {"content": "other"}}]}) + HELLO,
        HELLO + event(WHOLE),
        HELLO.replace(DONE, b"") + event(WHOLE),
        json.dumps(WHOLE).encode(),
        json.dumps(WHOLE, indent=2).encode(),
        json.dumps([WHOLE]).encode(),
        event(WHOLE),
        json.dumps(WHOLE).replace('"finish_reason": "stop"', '"index": 0').encode(),
        b"data: " + json.dumps(WHOLE, indent=1).replace("\n", "\ndata: ").encode() + b"\n\n",
    ],
)
def test_one_answer_is_read_in_all_the_ways_in_which_it_is_sent(body: bytes) -> None:
    for size in (1, 7, len(body)):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        message, finish = said(*pieces)
        assert (message.text, finish) == ("Hello", "stop")


@pytest.mark.parametrize(
    ("end", "finish"),
    [
        (chunk(None, "stop"), "stop"),
        (chunk({}, "") + DONE, "stop"),
        (chunk({}) + DONE, "stop"),
        (DONE, "stop"),
        (event({"choices": [{"finish_reason": "length"}]}), "length"),
        (chunk({}, "stop") + chunk({}, "stop") + DONE, "stop"),
        (chunk({}, "tool_calls") + chunk({}, "stop") + DONE, "tool_calls"),
        (chunk({}, "MAX_TOKENS"), "length"),
        (chunk({}, "end_turn"), "stop"),
        (chunk({}, "error"), "error"),
    ],
)
def test_m4_2_the_end_of_an_answer_is_heard_however_it_is_said(end: bytes, finish: str) -> None:
    message, why = said(chunk({"content": "Hello"}), end)
    assert (message.text, why) == ("Hello", finish)


@pytest.mark.parametrize("end", [b"", chunk({}), chunk(None), b": ping\n\n", b"data: "])
def test_m4_2_a_stream_without_any_end_was_cut(end: bytes) -> None:
    assembly, ended = read(chunk({"content": "Hello"}), end)
    assert (assembly.text, ended) == ("Hello", False)


def test_m5_1_arguments_as_an_object_are_taken() -> None:
    for args in ({"a": 5}, '{"a": 5}', '"{\\"a\\": 5}"', '{}{"a": 5}'):
        assert calls_of(chunk({"tool_calls": [part(0, "add", args, id="x")]})) == [("add", {"a": 5})]
    flat = {"name": "add", "arguments": {"a": 5}}
    for delta in ({"tool_calls": [flat]}, {"tool_calls": flat}, {"function_call": flat}):
        assert calls_of(chunk(delta)) == [("add", {"a": 5})]


@pytest.mark.parametrize("call_id", [None, "", "same"])
@pytest.mark.parametrize("index", [0, None])
def test_m5_2_two_calls_of_one_index_are_two_calls(*, index: int | None, call_id: str | None) -> None:
    both = [part(index, "add", '{"a": 1}', id=call_id), part(index, "add", '{"a": 2}', id=call_id)]
    wanted = [("add", {"a": 1}), ("add", {"a": 2})]
    assert calls_of(chunk({"tool_calls": both})) == wanted
    assert calls_of(*[chunk({"tool_calls": [one]}) for one in both]) == wanted
    pieces = [
        part(index, "add", '{"a"', id=call_id),
        part(index, args=": 1}"),
        part(index, "add", "", id=call_id),
        part(index, "sub", '{"a": ', id=call_id),
        part(index, args="[2]}"),
    ]
    found = calls_of(*[chunk({"tool_calls": [one]}) for one in pieces], offered=("add", "sub"))
    assert found == [("add", {"a": 1}), ("sub", {"a": [2]})]
    message, _ = said(chunk({"tool_calls": both}, "tool_calls"))
    assert len({call["id"] for call in message.tool_calls}) == 2


@pytest.mark.parametrize(
    ("names", "offered", "name"),
    [
        (("cal", "cul", "ator"), (), "calculator"),
        (("cal", "cul", "ator"), ("calculator", "cal"), "calculator"),
        (("add", "add", "add"), (), "add"),
        (("add", "add"), ("add",), "add"),
        (("add", "_all"), ("add", "add_all"), "add_all"),
        (("add", "add_all"), ("add", "add_all"), "add_all"),
        (("add", "", None), ("add",), "add"),
    ],
)
def test_m5_3_a_name_may_come_in_pieces_or_again(
    names: tuple[str | None, ...], offered: tuple[str, ...], name: str
) -> None:
    pieces = [chunk({"tool_calls": [part(0, one, "", id="x1")]}) for one in names]
    pieces.append(
        chunk({"tool_calls": [part(0, names[0], '{"a"', id="x1")]}) if len(set(names)) == 1 else b""
    )
    pieces.append(chunk({"tool_calls": [part(0, args='{"a": 1}' if not pieces[-1] else ": 1}")]}))
    assert calls_of(*pieces, offered=offered) == [(name, {"a": 1})]


def test_calls_are_found_whatever_index_type_and_finish_say() -> None:
    whole = {"id": "abc123xyz", "function": {"name": "add", "arguments": "{}"}}
    message, finish = said(chunk({"tool_calls": [whole]}), chunk({}, "stop"))
    assert (message.tool_calls[0]["name"], message.tool_calls[0]["id"], finish) == (
        "add",
        "abc123xyz",
        "stop",
    )
    late = [
        chunk({"tool_calls": [part(3, "add", "", id="x")]}),
        chunk({"tool_calls": [part(None, args='{"a": 1}')]}),
    ]
    assert calls_of(*late) == [("add", {"a": 1})]
    assert calls_of(chunk({"tool_calls": [{}, None, 5, part(1)]})) == []
    two = [
        chunk({"tool_calls": [part(n, "add", args)]})
        for n, args in ((1, '{"a"'), (0, "{"), (1, ": 1}"), (0, "}"))
    ]
    assert calls_of(*two, offered=("add",)) == [("add", {"a": 1}), ("add", {})]


def test_a_call_that_was_cut_is_not_made_with_what_had_come() -> None:
    for args in ('{"a": 1', ""):
        message, _ = said(chunk({"tool_calls": [part(0, "add", args)]}), chunk({}, "length"))
        assert list(message.tool_calls[0]["args"]) == [MALFORMED]
    message, _ = said(chunk({"tool_calls": [part(0, "now", "")]}), chunk({}, "tool_calls"))
    assert message.tool_calls[0]["args"] == {}


@pytest.mark.parametrize(
    ("usages", "counted"),
    [
        ([None, {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}], (7, 3)),
        ([{"prompt_tokens": 7, "completion_tokens": n} for n in range(4)], (7, 3)),
        (
            [{"prompt_tokens": 7, "completion_tokens": 0}, {"prompt_tokens": None, "completion_tokens": 3}],
            (7, 3),
        ),
        ([{"input_tokens": 7, "output_tokens": 3.0}], (7, 3)),
        ([{"prompt_tokens": "7", "completion_tokens": -1}], (0, 0)),
    ],
)
def test_usage_that_is_told_more_than_once_is_not_added_up(
    usages: list[Any], counted: tuple[int, int]
) -> None:
    for place in ("usage", "x_groq", "choice"):
        parts = []
        for usage in usages:
            choice = {"index": 0, "delta": {"content": "x"}}
            if place == "choice":
                parts.append(event({"choices": [{**choice, "usage": usage}]}))
            else:
                held = {"usage": usage} if place == "usage" else {"x_groq": {"usage": usage}}
                parts.append(event({"choices": [choice], **held}))
        assembly, _ = read(*parts, chunk({}, "stop"), DONE)
        assert assembly.usage is not None
        assert (assembly.usage["input_tokens"], assembly.usage["output_tokens"]) == counted


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": {"content": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_reasoning_is_heard_under_each_of_its_names_once(delta: dict[str, Any]) -> None:
    found = Reading(DEFAULT)
    assembly = Assembly(profile=DEFAULT)
    seen = [assembly.add(piece) for piece in found.feed(chunk(delta) + HELLO)]
    assert "".join(one.reasoning for one in seen if one) == "hm"
    assert assembly.text == "Hello"


@pytest.mark.parametrize(
    "body",
    [
        event({"error": {"message": "no", "code": 500}}),
        event({"error": "no"}),
        b'event: error\ndata: {"message": "no"}\n\n',
        event({"object": "error", "message": "no"}),
        event({"detail": "no"}),
        b'{"error": {"message": "no"}}',
        b'[{"error": {"code": 400}}]',
        event({"error": {"message": "no"}, "choices": [{"delta": {}, "finish_reason": "error"}]}),
    ],
)
def test_an_error_in_place_of_an_answer_is_one(body: bytes) -> None:
    with pytest.raises(EndpointError):
        read(body)


@pytest.mark.parametrize(
    "body", [b"<!doctype html><html>", b"data: <html>\n\n", b"data: {broken\n\n", b'{"choices"']
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        read(body)


def test_an_event_or_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    for begin in (b"data: {", b"{", b"event: "):
        with pytest.raises(EventTooLong):
            read(begin, *[b"x" * 100 for _ in range(20)])
    assert said(*[b": comment without a blank line\n"] * 100, HELLO)[0].text == "Hello"
    monkeypatch.setattr(reading_module, "MAX_ANSWER", 1000)
    with pytest.raises(EventTooLong):
        read(*[chunk({"content": "x"})] * 100)


ODD = [
    {"choices": [{"delta": {"content": "b"}}], "error": {"message": "no"}},
    {"object": "error", "choices": [{"delta": {"content": "b"}}]},
    {"type": "error", "choices": [{"delta": {"content": "b"}}]},
    {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
    {"choices": [{"delta": {"content": "b"}}, {"delta": {"content": "c"}}]},
    {"choices": [{"delta": {"content": "b"}, "finish_reason": "length"}]},
    {"choices": [{"delta": {"content": "b"}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]},
    {"choices": [{"delta": {"content": "b"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    {"choices": [{"delta": {"content": "b"}}], "x_groq": {"usage": {"prompt_tokens": 3}}},
    {"choices": [{"delta": {"content": "b", "reasoning_content": "hm"}}]},
    {
        "choices": [
            {"delta": {"content": "b", "tool_calls": [{"id": "call_0aZ91xQ7", "function": {"name": "add"}}]}}
        ]
    },
    {"choices": [{"delta": {"content": [{"type": "text", "text": "b"}]}}]},
    {"choices": [{"delta": {"content": 7}}]},
    {"choices": [{"delta": {}, "text": "b"}]},
    {"choices": [{"message": {"content": "a whole one"}}]},
    {"choices": {"delta": {"content": "b"}}},
    {"choices": {"x": 1}},
    {"choices": "x"},
    {"choices": [["content"]]},
    {"choices": [{"delta": "content"}]},
    {"choices": [{"delta": {"content": "\ud83d"}}]},
    [{"choices": [{"delta": {"content": "b"}}]}],
]
PLAIN = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "model": "m"}


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_what_is_more_than_a_token_is_read_as_it_is_without_a_short_way_for_tokens(
    odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [event(PLAIN), event(PLAIN) + event(odd) + event(PLAIN), DONE]
    quick = _told(parts)
    monkeypatch.setattr(reading_module, "_is_plain", lambda *_: False)
    assert quick == _told(parts) == _told([bytes([byte]) for byte in b"".join(parts)])


def _told(parts: list[bytes]) -> Any:
    try:
        assembly, ended = read(*parts)
    except (EndpointError, NoAnswer) as error:
        return repr(error)
    message = assembly.message()
    return message.content, message.tool_calls, message.usage_metadata, assembly.finish, ended


def test_the_model_that_served_is_told() -> None:
    assembly, _ = read(event({"model": "m-1", "choices": []}), event({"model": "m-2", "choices": []}), HELLO)
    assert assembly.served == "m-1"


def test_m5_1_arguments_as_an_object_keep_their_numbers_and_may_nest_too_deep() -> None:
    long = '{"n": 123456789012345678901234567890}'
    deep = '{"a":' * 990 + "1" + "}" * 990
    for arguments in (long, deep):
        call = '{"index": 0, "id": "call_a1b2c3d4e5", "function": {"name": "t", "arguments": ' + arguments
        body = 'data: {"choices": [{"delta": {"tool_calls": [' + call + '}}]}, "finish_reason": "stop"}]}\n\n'
        message, _ = said(body.encode())
        assert [list(made["args"]) for made in message.tool_calls] == [[MALFORMED]]


def test_m5_2_an_index_that_is_written_as_text_is_one() -> None:
    def part(index: str, args: str, **more: Any) -> dict[str, Any]:
        return {"index": index, "function": {"arguments": args, **more}}

    first = [part("0", '{"a', name="t"), part("1", '{"b', name="t")]
    then = [part("0", '": 1}'), part("1", '": 2}')]
    chunks = [{"choices": [{"index": "0", "delta": {"tool_calls": calls}}]} for calls in (first, then)]
    message, finish = said(*map(event, chunks), DONE)
    assert [made["args"] for made in message.tool_calls] == [{"a": 1}, {"b": 2}]
    assert finish == "stop"


def test_m4_2_lines_of_json_that_end_without_an_end_were_cut() -> None:
    line = b'{"choices": [{"delta": {"content": "half"}}]}\n'
    assembly, ended = read(line, line)
    assert (assembly.text, ended) == ("halfhalf", False)
