"""The suite of ChatModel over the fake, the offline model, and a real endpoint."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from nodes.llm import ChatModel
from nodes.llm.adapters.offline import OfflineModel
from nodes.llm.adapters.openai import OpenAIModel
from nodes.llm.errors import ModelUnavailable
from nodes.llm.fake import ScriptedModel
from nodes.llm.settings import ModelEntry
from tests.kit.contracts.chat_model import ChatModelContract, answer
from tests.kit.model_server import ModelServer, call, say


class TestFake(ChatModelContract):
    @pytest.fixture
    def chat(self) -> ChatModel:
        return ScriptedModel(("add", '{"a": 5, "b": 3}'), "It is 8.")


class TestOffline(ChatModelContract):
    @pytest.fixture
    def chat(self) -> ChatModel:
        return OfflineModel()


class TestEndpoint(ChatModelContract):
    @pytest.fixture
    def chat(self, model_server: ModelServer) -> ChatModel:
        model_server.script(call("add", {"a": 5, "b": 3}), say("It is 8."))
        return OpenAIModel("main", ModelEntry(model_name="m", model_url=model_server.url))


async def test_an_unreachable_endpoint_is_unavailable() -> None:
    gone: list[ChatModel] = [
        OpenAIModel("main", ModelEntry(model_name="m", model_url="http://127.0.0.1:9/v1")),
        ScriptedModel(ModelUnavailable("gone")),
    ]
    for chat in gone:
        with pytest.raises(ModelUnavailable):
            await chat.ping()
        with pytest.raises(ModelUnavailable):
            await answer(chat, [HumanMessage("x")])
        await chat.aclose()
