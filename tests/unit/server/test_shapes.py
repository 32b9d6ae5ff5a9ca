"""What shapes write out once more is as in the parts that it comes from, and costs an answer nothing."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import FastAPI
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from core.health import HealthState
from graph.insight.usage import NEVER
from graph.runs.events import VOCABULARY
from graph.runs.record import STATUSES
from graph.threads.sizes import KINDS
from nodes.mcp_tools.models import ServerState
from server.shapes.catalogue import State
from server.shapes.form import Json, Shape
from server.shapes.insight import StepFigures
from server.shapes.operators import HealthShown, Sizes
from server.shapes.runs import RunCounts, Status
from server.shapes.streams import STREAMS, item_schema

OF_EVERY_EVENT = {"seq", "run_id", "type"}


class Answer(TypedDict):
    """An answer."""

    number: int


def test_each_event_of_the_vocabulary_is_described_with_its_fields() -> None:
    schemas: dict[str, Any] = {}
    item_schema(("POST", "/agent/stream"), schemas)
    named = schemas["RunEvent"]["discriminator"]["mapping"]
    fields = {kind: set(schemas[ref.rpartition("/")[2]]["required"]) for kind, ref in named.items()}
    assert {kind: required - OF_EVERY_EVENT for kind, required in fields.items()} == VOCABULARY


def test_every_stream_has_an_item_that_is_described() -> None:
    for route in STREAMS:
        schemas: dict[str, Any] = {}
        data = item_schema(route, schemas)["properties"]["data"]
        assert data["contentSchema"]["$ref"].rpartition("/")[2] in schemas


def test_words_of_states_are_those_of_their_owners() -> None:
    assert get_args(Status) == STATUSES
    assert list(RunCounts.__annotations__) == [*STATUSES, "waiting"]
    assert set(get_args(State)) - {"off", "left out"} == set(ServerState)
    assert list(Sizes.__annotations__) == [*KINDS, "total"]
    assert list(StepFigures.__annotations__) == list(NEVER)
    described = TypeAdapter(HealthShown).json_schema()["properties"]["state"]["enum"]
    assert described == [state.value for state in HealthState]


async def test_an_answer_leaves_as_the_route_has_made_it() -> None:
    """A shape describes: what it does not know is not dropped, and what does not fit is not refused."""
    app = FastAPI()

    @app.get("/")
    async def route() -> Annotated[Json, Shape(Answer)]:
        return {"number": "none", "more": True}

    [context] = [each for each in app.routes if getattr(each, "path", "") == "/"]
    field: Any = context.response_field  # type: ignore[attr-defined]  # a route of FastAPI
    assert field.serialize({"number": "none", "more": True}) == {"number": "none", "more": True}
    content = app.openapi()["paths"]["/"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Answer"}
