"""An answer that a model writes from passages, for whoever asks this service as a source."""

from __future__ import annotations

from typing import Annotated, Any

from langchain_core.messages import HumanMessage
from pydantic import BaseModel, BeforeValidator

from core.access import Principal, may_use
from core.choices import CHOICES, SAMPLED
from nodes.llm import LLMCaller, LLMRequest
from nodes.llm.citations import checked
from nodes.rag.errors import QueryNotAccepted
from nodes.rag.models import RAGResponse
from nodes.rag.terms import cited_numbers
from server.routes.common import OpenAgent


def _number(name: str) -> Any:
    def checked(value: Any) -> Any:
        if value is not None and not CHOICES[name].fits(value):
            raise QueryNotAccepted(f"synthesis_params.{name} must be {CHOICES[name].wanted(value)}")
        return value

    return BeforeValidator(checked)


class SynthesisOptions(BaseModel, extra="ignore"):
    """What may be said of the answer; other parameters are those of other services."""

    model: Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "")] = ""
    temperature: Annotated[float | None, _number("temperature")] = None
    top_p: Annotated[float | None, _number("top_p")] = None


async def written(
    agent: OpenAgent, who: Principal, question: str, found: RAGResponse, options: SynthesisOptions
) -> tuple[str, list[int]]:
    """What the model makes of the passages, and the numbers of those that it cites; "" where there are none.

    The model that is named is asked where the user may use it; otherwise, the default.

    Raises:
        QueryNotAccepted: There is no model here.
        WaystationError: What `LLMCaller.call` raises.
    """
    if not agent.has("llm"):
        raise QueryNotAccepted("no model runs here that could write an answer; ask with mode raw")
    if not found.passages:
        return "", []
    llm = await agent.container.get(LLMCaller)
    given = options.model_dump()
    request = LLMRequest(
        model=_model(llm, who, options.model),
        messages=[HumanMessage(question)],
        documents=[passage.as_state(n) for n, passage in enumerate(found.passages, start=1)],
        sampling={name: given[name] for name in SAMPLED if given.get(name) is not None},
        principal=who,
    )
    offered = range(1, len(found.passages) + 1)
    answer = checked(await llm.call(request), offered).text
    return answer, [n for n in cited_numbers(answer) if n in offered]


def _model(llm: LLMCaller, who: Principal, wanted: str) -> str:
    entry = llm.entries().get(wanted)
    return wanted if entry is not None and may_use(who, entry) else llm.default()
