"""How a third-party module is tested: with the kit, in process, on fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_type_hints

import pytest
from dishka import AsyncContainer
from langchain_core.messages import AIMessage, HumanMessage
from waystation_greeter.events import Greeted
from waystation_greeter.greeter import Greeter, UnknownLanguage
from waystation_greeter.module import MODULE
from waystation_greeter.node import Greet, Reads, Writes
from waystation_greeter.tasks import GREET_LATER, Whom

from waystation import ConfigErrors, EventBus, HealthState, Principal, RunContext, StartFailed, State
from waystation.testing import module_container, record_events, routes_of, run_step, run_task

FILES = {"greetings.yaml": "greetings:\n  de: Guten Tag\n"}


@pytest.fixture
async def container(tmp_path: Path) -> AsyncIterator[AsyncContainer]:
    async with module_container(MODULE, tmp_path, files=FILES, greeter={"word": "Ahoy"}) as container:
        yield container


async def test_people_are_greeted_in_the_words_of_the_configuration(container: AsyncContainer) -> None:
    greeter = await container.get(Greeter)
    assert greeter.greet("Ada") == "Ahoy, Ada!"
    assert greeter.greet("Ada", language="de") == "Guten Tag, Ada!"
    with pytest.raises(UnknownLanguage, match="no greeting in 'fr'; known: de"):
        greeter.greet("Ada", language="fr")


async def test_a_thread_begins_with_a_greeting(container: AsyncContainer) -> None:
    node, ada = await container.get(Greet), RunContext(user="ada")
    writes, told = await run_step(node, {"messages": [HumanMessage("Hi")]}, ada)
    assert (writes, told) == ({}, [{"type": "notice", "code": "greeting", "detail": "Ahoy, ada!"}])
    later = [HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("And now?")]
    assert await run_step(node, {"messages": later}, ada) == ({}, [])


def test_the_step_reads_and_writes_only_what_the_state_has() -> None:
    assert get_type_hints(Reads).keys() | get_type_hints(Writes).keys() <= get_type_hints(State).keys()


async def test_a_greeting_is_published_and_counted_in_the_health(container: AsyncContainer) -> None:
    with record_events(await container.get(EventBus), Greeted) as seen:
        await run_task(GREET_LATER, Whom(user="ada", language="de"), container)
        (event,) = await seen.wait_for(Greeted)
    assert event.language == "de"
    await (await container.get(EventBus)).aclose()  # every subscriber has had its events
    health = await MODULE.health(container)
    assert (health.state, health.details) == (HealthState.HEALTHY, {"greeted": 1, "languages": ["de"]})


async def test_a_route_greets_its_caller(container: AsyncContainer) -> None:
    async with routes_of(MODULE, container, Principal("ada")) as http:
        assert (await http.get("/greeter/hello")).json() == {"text": "Ahoy, ada!"}
        refusal = await http.get("/greeter/hello", params={"language": "fr"})
    assert (refusal.status_code, refusal.json()["code"]) == (404, "greeter_unknown_language")


async def test_a_start_that_is_refused_says_why(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="greeter: nobody is in the mood"):
        async with module_container(MODULE, tmp_path, greeter={"start": "refused"}):
            pass


async def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"greeter\.wrod.*did you mean 'word'"):
        async with module_container(MODULE, tmp_path, greeter={"wrod": "Hi"}):
            pass
