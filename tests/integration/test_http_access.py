"""Documents that are not for everybody who searches a source: no route shows their text or their name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from core.identity.keys import KeyStore
from graph.agent import Agent
from tests.kit.http import client_of, served, turn
from tests.kit.mcp import Old
from waystation.testing.agents import open_agent

SOURCES = """policies:
  type: local
  path: ../docs
  groups: [staff]
  access: {rules: [{path: "hr/**", groups: [hr]}]}
"""
DOCUMENTS = {
    "travel.md": "# Travel\n\nTrains are booked a week ahead.",
    "hr/payroll.md": "# Payroll\n\nThe zephyrine bonus is paid in March to the whole team.",
    "hr/photo.png": "\0",
}
QUESTION = "When is the zephyrine bonus paid?"
# Words of the hidden documents, and their names.
TOLD = ("March", "hr/", "payroll", "photo", "Payroll")
RAW = {"query": QUESTION, "corpora": ["policies"], "mode": "raw"}
COMPLETION = {"messages": [{"role": "user", "content": QUESTION}], "data_sources": ["policies"]}
CHAT = {"model": "waystation", "messages": [{"role": "user", "content": QUESTION}]}
CARD = {"jsonrpc": "2.0", "id": 1, "method": "GetExtendedAgentCard"}
# Every way to what a source has: method, path, body. The others ask one of these.
WAYS: dict[str, tuple[str, str, Any]] = {
    "the sources": ("GET", "/sources", None),
    "the documents": ("GET", "/sources/policies/documents", None),
    "what was skipped": ("GET", "/sources/policies/documents?skipped=true", None),
    "the pieces of a document": ("GET", "/sources/policies/chunks?document=hr/payroll.md", None),
    "a question to the source": ("POST", "/sources/policies/query", {"query": QUESTION}),
    "a turn": ("POST", "/agent/invoke", turn(QUESTION)),
    "a streamed turn": ("POST", "/agent/stream", turn(QUESTION)),
    "discovery": ("GET", "/api/v2/discover/datasources", None),
    "retrieval for services": ("POST", "/api/v2/rag/query", RAW),
    "completions for services": ("POST", "/api/v1/rag/completions", COMPLETION),
    "OpenAI's wire": ("POST", "/v1/chat/completions", CHAT),
    "the card for agents": ("POST", "/a2a", CARD),
}
# These show nothing of documents to anybody.
NAMELESS = {"discovery", "the card for agents"}


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    folder = tmp_path_factory.mktemp("access")
    for name, text in DOCUMENTS.items():
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / name).write_text(text)
    async with open_agent(
        folder, files={"sources.yaml": SOURCES}, auth={"mode": "keys"}, rag={"search": "words"}
    ) as made:
        yield made


@pytest.fixture(scope="module")
async def callers(agent: Agent) -> AsyncIterator[Mapping[str, httpx.AsyncClient]]:
    store = KeyStore(agent.engine)
    _, staff = await store.create("ada", groups={"staff"})
    _, hr = await store.create("hal", groups={"staff", "hr"})
    async with served(agent) as base, client_of(base) as ada, client_of(base) as hal:
        ada.headers["authorization"], hal.headers["authorization"] = f"Bearer {staff}", f"Bearer {hr}"
        yield {"ada": ada, "hal": hal}


async def told(http: httpx.AsyncClient, method: str, path: str, body: Any) -> str:
    answer = await http.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    # A question comes back in some answers; of the documents it has only the one word.
    return answer.text.replace("hr/payroll.md?", "")


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_is_shown_documents_that_are_for_another_group(
    callers: Mapping[str, httpx.AsyncClient], way: str
) -> None:
    hers = await told(callers["ada"], *WAYS[way])
    assert [word for word in TOLD if word in hers] == []
    his = await told(callers["hal"], *WAYS[way])
    assert any(word in his for word in TOLD) is (way not in NAMELESS)
    # Also when the other one has asked the same just before, and what was answered is kept.
    assert [word for word in TOLD if word in await told(callers["ada"], *WAYS[way])] == []


async def test_the_search_tool_and_the_list_of_sources_over_mcp_do_neither(
    callers: Mapping[str, httpx.AsyncClient],
) -> None:
    for name, shown in (("hal", True), ("ada", False)):
        client = await Old.met(callers[name])
        found = str(await client.call("search", query=QUESTION))
        assert ("March" in found) is shown
        listed = str(await client.ask("resources/read", {"uri": "waystation://sources"}))
        assert "policies" in listed
        assert ("hr/photo.png" in listed) is shown
