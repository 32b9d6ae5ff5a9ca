"""The models under the names that clients of OpenAI use.

`waystation` is the model that the service chooses; `waystation/<name>` one of the caller's own.
"""

from __future__ import annotations

from typing import Any

from core.access import Principal, usable
from graph.agent import Agent
from nodes.llm import LLMCaller
from nodes.llm.errors import ModelNotFound
from server.middleware.auth import Caller
from server.protocols.switch import wire_router
from server.routes.common import OpenAgent

OWN = "waystation"
# No model of ours has a date of birth; clients sort by it, and want a number.
_CREATED = 1_760_000_000

router = wire_router("openai", "/v1")


@router.get("/models")
async def list_models(agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """`waystation`, and the models that the caller may use."""
    names = await _names(agent, who)
    return {"object": "list", "data": [_model(name) for name in [OWN, *map(_id_of, names)]]}


# As a path: SDKs send the slash of an id as %2F, which is a slash again when it comes here.
@router.get("/models/{model_id:path}")
async def show_model(model_id: str, agent: OpenAgent, who: Caller) -> dict[str, Any]:
    """One of them."""
    await chosen(agent, who, model_id)
    return _model(model_id)


async def chosen(agent: Agent, who: Principal, model_id: str) -> str:
    """The name of our model that an id means; "" leaves it to the service.

    Raises:
        ModelNotFound: It is none that the caller may use.
    """
    if model_id == OWN:
        return ""
    names = await _names(agent, who)
    name = model_id.removeprefix(f"{OWN}/")
    if model_id.startswith(f"{OWN}/") and name in names:
        return name
    listed = ", ".join([OWN, *map(_id_of, names[:20])])
    raise ModelNotFound(f"no model '{model_id[:200]}'; you may use: {listed}")


async def _names(agent: Agent, who: Principal) -> list[str]:
    llm = await agent.container.get(LLMCaller)
    return list(usable(who, llm.entries()))


def _id_of(name: str) -> str:
    return f"{OWN}/{name}"


def _model(model_id: str) -> dict[str, Any]:
    return {"id": model_id, "object": "model", "created": _CREATED, "owned_by": OWN}
