"""Steps of the graph at each place where one can stand, and a guard of answers."""

import operator
from typing import Annotated, Any

from langgraph.runtime import Runtime

from waystation import RunContext, Step

UNLUCKY = "= 13"
KEPT = "I do not say that number."
CHANNELS = {"passed": Annotated[list[str], operator.add]}


class Passed:
    """Tells that a turn came by, and writes it down in the thread."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, state: dict[str, Any], runtime: Runtime[RunContext]) -> dict[str, Any]:
        runtime.stream_writer({"type": "notice", "code": "passed", "detail": self._name})
        return {"passed": [self._name]}


def guard(state: dict[str, Any]) -> dict[str, Any]:
    """Say something else to an unlucky number, before the answer is kept and before tools are called."""
    *_, question, answer = state["messages"]
    return {"messages": [answer.model_copy(update={"content": KEPT})]} if UNLUCKY in question.text else {}


FIVE = ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files")
PLACES = tuple(
    step
    for name in FIVE
    for step in (
        Step(f"before_{name}", Passed(f"before_{name}"), before=name, channels=CHANNELS),
        Step(f"after_{name}", Passed(f"after_{name}"), after=name, channels=CHANNELS),
    )
)
GUARD = Step("guard", guard, after="call_model")
elsewhere = Passed("elsewhere")
