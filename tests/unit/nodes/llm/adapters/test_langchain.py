"""Chat models of LangChain behind the port: what they raise, what they want back, what they are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core import exceptions as lc
from langchain_core.language_models import BaseChatModel, FakeListChatModel, FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, SecretStr

from core.correlation import listening
from core.errors import WaystationError
from core.observability import clean
from nodes.llm import Model
from nodes.llm.adapters.langchain import connected
from nodes.llm.assembly import Assembly
from nodes.llm.errors import ModelRateLimited, ModelRefused, ModelUnavailable
from nodes.llm.settings import ModelEntry
from waystation.testing.contracts.chat_model import ADD, answer

SEALED = [
    {"type": "thinking", "thinking": "five and ", "index": 0},
    {"type": "thinking", "thinking": "three", "signature": "sealed-1", "index": 0},
]


class Sealed(BaseChatModel):
    """Streams reasoning in blocks, then a call; or raises what it is given."""

    temperature: float = 1.0
    error: Any = None
    behind: int = 0
    seen: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "sealed"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self.bind(tools=tools)

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise AssertionError

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.seen.append((self.temperature, messages))
        if self.error is not None:
            for _word in range(self.behind):
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
            raise self.error
        counts = {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}
        for block in SEALED:
            yield ChatGenerationChunk(message=AIMessageChunk(content=[block], usage_metadata=counts))
            counts = {"input_tokens": 0, "output_tokens": 4, "total_tokens": 4}
        part = {"name": "add", "args": '{"a": 5, "b": 3}', "id": "toolu_01AbCdEf", "index": 1}
        more = {"signatures": {"toolu_01AbCdEf": "s"}, "trail": "x"}
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", tool_call_chunks=[part], additional_kwargs=more)
        )
        end = {"stop_reason": "tool_use", "model": "sealed-1"}
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=end))


class OddError(Exception):
    def __init__(self, **fields: Any) -> None:
        super().__init__("it holds sk-live-1234")
        self.__dict__.update(fields)


class ConnectError(Exception):
    pass


class ReadTimeoutError(Exception):
    pass


def entry_of(chat: BaseChatModel | str, **values: Any) -> ModelEntry:
    return ModelEntry.model_validate({"provider": chat, **values})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OddError(status_code=401), "model_refused"),
        (
            OddError(status_code=429, response=SimpleNamespace(headers={"retry-after": "7"})),
            "model_rate_limited",
        ),
        (OddError(response=SimpleNamespace(status_code=503)), "model_unavailable"),
        (OddError(response={"ResponseMetadata": {"HTTPStatusCode": 400}}), "model_refused"),
        (OddError(code=529), "model_unavailable"),
        (OddError(status_code=400, body={"error": {"message": "prompt is too long"}}), "model_context_full"),
        (OddError(body={"error": {"type": "rate_limit_error"}}), "model_rate_limited"),
        (lc.ContextOverflowError("long"), "model_context_full"),
        (lc.ModelAuthenticationError("sk-live-1234"), "model_refused"),
        (lc.ModelRateLimitError("slow"), "model_rate_limited"),
        (ReadTimeoutError(), "model_timed_out"),
        (TimeoutError(), "model_timed_out"),
        (ConnectError(), "model_unavailable"),
        (ConnectionResetError(), "model_unavailable"),
        (KeyError("sk-live-1234"), "model_unavailable"),
        (ModelUnavailable("known"), "model_unavailable"),
    ],
)
async def test_whatever_a_package_raises_is_an_error_of_ours_without_its_text(
    error: Exception, code: str
) -> None:
    chat = connected(Model("mine", entry_of(Sealed(error=error))))
    with pytest.raises(WaystationError) as caught:
        await answer(chat, [HumanMessage("x")])
    assert caught.value.code == code
    assert "sk-live" not in caught.value.detail
    if isinstance(caught.value, ModelRateLimited) and isinstance(error, OddError) and error.args:
        assert caught.value.retry_after in {7.0, None}


async def test_what_ends_in_an_error_behind_its_first_words_broke_off() -> None:
    chat = connected(Model("mine", entry_of(Sealed(error=KeyError("x"), behind=2))))
    with pytest.raises(WaystationError) as caught:
        await answer(chat, [HumanMessage("x")])
    assert caught.value.code == "model_stream_cut"


async def test_sealed_reasoning_goes_back_to_the_model_it_came_from_and_to_no_other() -> None:
    sealed = Sealed(seen=[])
    entry = entry_of(sealed, model_name="sealed-1")
    chat = connected(Model("mine", entry))
    kept = Assembly(profile=entry.kind, of=entry.of)
    chunks, first = await answer(
        chat, [HumanMessage("x")], into=kept, tools=[ADD], sampling={"temperature": 0.2}
    )
    message = first.message()
    assert "".join(c.additional_kwargs.get("reasoning_content", "") for c in chunks) == "five and three"
    assert (first.finish, first.served) == ("tool_calls", "sealed-1")
    assert first.usage == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    result = ToolMessage("8", tool_call_id=message.tool_calls[0]["id"] or "")
    talk = [HumanMessage("x"), message, result]
    await answer(chat, talk)
    other = connected(Model("other", entry_of(sealed, model_name="sealed-2")))
    await answer(other, talk)
    (warm, _), (usual, back), (_, foreign) = sealed.seen
    assert (warm, usual) == (0.2, 1.0)
    whole = {"type": "thinking", "thinking": "five and three", "signature": "sealed-1", "index": 0}
    assert back[1].content == [whole]
    assert back[1].additional_kwargs == {"signatures": {"toolu_01AbCdEf": "s"}, "trail": "x"}
    assert back[1].tool_calls[0]["id"] == back[2].tool_call_id == "toolu_01AbCdEf"
    assert (foreign[1].content, foreign[1].additional_kwargs) == ("", {})


async def test_a_model_that_takes_no_tools_and_no_temperature_is_asked_without() -> None:
    said: list[tuple[str, str]] = []
    chat = connected(Model("mine", entry_of(FakeListChatModel(responses=["Hi."]))))
    with listening(lambda code, text: said.append((code, text))):
        _, whole = await answer(chat, [HumanMessage("x")], tools=[ADD], sampling={"temperature": 0.1})
    assert (whole.text, whole.finish) == ("Hi.", "stop")
    assert said == [("parameter_left_out", "The model 'mine' takes no tools; none were offered.")]
    assert await chat.ping() == ["FakeListChatModel"]


async def test_a_call_whose_arguments_are_no_json_comes_through() -> None:
    odd = AIMessage("", invalid_tool_calls=[{"name": "add", "args": "{a:", "id": "call_1", "error": None}])
    chat = connected(Model("mine", entry_of(FakeMessagesListChatModel(responses=[odd]))))
    _, whole = await answer(chat, [HumanMessage("x")])
    (call,) = whole.message().tool_calls
    assert (call["name"], call["args"]) == ("add", {"__malformed__": "{a:"})


def test_a_class_that_cannot_be_made_says_where_to_look_and_keeps_the_key() -> None:
    entry = entry_of(
        "langchain_groq:ChatGroq",
        api_key=SecretStr("plain-words-secret"),
        parameters={"n": "many", "model": "m"},
    )
    with pytest.raises(ModelRefused, match=r"'mine' cannot be made of langchain_groq:ChatGroq .*look at n"):
        connected(Model("mine", entry))
    assert clean("it is plain-words-secret") == "it is ***"


async def test_what_was_made_here_is_closed_here() -> None:
    entry = entry_of("langchain_groq:ChatGroq", api_key="k", model_url="http://127.0.0.1:9", model_name="m")
    chat = connected(Model("mine", entry))
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await answer(chat, [HumanMessage("x")])
    inner: Any = chat._chat
    await chat.aclose()
    assert inner.async_client._client.is_closed()


class Bound(Sealed):
    """Notes what it is asked with."""

    asked: list[Any] = Field(default_factory=list)

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **options: Any) -> Any:
        return self.bind(tools=[tool["function"]["name"] for tool in tools], tool_choice=tool_choice)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **more: Any
    ) -> AsyncIterator[Any]:
        self.asked.append({"stop": stop, **more})
        yield ChatGenerationChunk(message=AIMessageChunk(content="x"))


@pytest.mark.parametrize(
    ("choice", "named"),
    [("required", "any"), ({"type": "function", "function": {"name": "add"}}, "add"), (None, None)],
)
async def test_stops_forms_and_forced_calls_are_bound_in_langchains_words(choice: Any, named: Any) -> None:
    chat = Bound()
    model = connected(Model("main", entry_of(chat)))
    form = {"type": "json_object"}
    sampling = {"stop": ["."], "response_format": form, **({"tool_choice": choice} if choice else {})}
    await answer(model, [HumanMessage("hi")], tools=[ADD], sampling=sampling)
    await answer(model, [HumanMessage("hi")], sampling={"temperature": 0.5})
    first, second = chat.asked
    assert first == {"stop": ["."], "tools": ["add"], "tool_choice": named, "response_format": form}
    assert second == {"stop": None}
