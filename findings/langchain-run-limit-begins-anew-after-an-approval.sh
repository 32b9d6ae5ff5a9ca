#!/bin/sh
# langchain 1.5.2 with langgraph 1.2.24: ToolCallLimitMiddleware(run_limit=) and ModelCallLimitMiddleware(run_limit=) count
# in a channel that no checkpoint holds. An agent that pauses for an approval (HumanInTheLoopMiddleware) goes on from the
# checkpoint, so each approval sets both counts back to nought: one question of one user runs past its limit for as long as
# somebody goes on approving, and each single log looks right. Without the pause the same limit holds. thread_limit is
# stored and holds, but counts all turns of the thread.
# Seen, run_limit=2 and a model that asks for a tool every time: without approvals 2 tools (2 or 3 model calls), the end; with
# six approvals 6 tools and 7 model calls on one question, under either limit, and no end.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langchain==1.5.2" "langgraph==1.2.24" \
    "langchain-core==1.8.3" 2> /dev/null
cat > "$folder/count.py" <<'PY'
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

ran: list[str] = []
asked: list[str] = []


@tool
def look(page: str) -> str:
    """Look at a page."""
    ran.append(page)
    return "see the next page"


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **options):
        return self


def restless():
    while True:
        number = str(len(asked))
        asked.append(number)
        yield AIMessage("", tool_calls=[{"name": "look", "args": {"page": number}, "id": f"c{number}"}])


def count(limit, approvals: int) -> tuple[int, int, bool]:
    ran.clear()
    asked.clear()
    gate = [HumanInTheLoopMiddleware({"look": True})] if approvals else []
    agent = create_agent(
        Model(messages=restless()), [look], middleware=[limit, *gate], checkpointer=InMemorySaver()
    )
    here = {"configurable": {"thread_id": "t"}}
    state = agent.invoke({"messages": [("user", "what is on the pages?")]}, here)
    for _ in range(approvals):
        if "__interrupt__" not in state:
            break
        state = agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), here)
    return len(ran), len(asked), "__interrupt__" not in state


found = {}
for kind in (ToolCallLimitMiddleware, ModelCallLimitMiddleware):
    for approvals in (0, 6):
        found[kind.__name__, approvals] = count(kind(run_limit=2, exit_behavior="end"), approvals)
for case, (tools, models, ended) in found.items():
    print(*case, "approvals:", tools, "tools,", models, "model calls,", "ended" if ended else "goes on")
assert found["ToolCallLimitMiddleware", 0] == (2, 3, True), found
assert found["ModelCallLimitMiddleware", 0] == (2, 2, True), found
assert found["ToolCallLimitMiddleware", 6] == found["ModelCallLimitMiddleware", 6] == (6, 7, False), found
PY
LANGSMITH_TRACING=false "$folder/env/bin/python" "$folder/count.py"
