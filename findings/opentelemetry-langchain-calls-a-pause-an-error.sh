#!/bin/sh
# opentelemetry-instrumentation-langchain 0.62.4 over langgraph 1.2.24: a tool that asks with interrupt(), as every
# approval does, gives spans with the status ERROR for the tool and its node, and LangGraph's own callbacks for
# a pause and its end fail in its handler, a line in the log each. An error rate over these spans counts approvals.
# openinference-instrumentation-langchain 0.1.80 calls the same spans OK (both keep an exception as an event).
# Seen:  opentelemetry  tool ERROR, its node ERROR; "has no attribute 'on_interrupt'", "... 'on_resume'"
#        openinference  tool OK, its node OK
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/env"
"$here/env/bin/pip" -q --disable-pip-version-check install langchain==1.5.2 langgraph==1.2.24 opentelemetry-sdk==1.45.2 \
    opentelemetry-instrumentation-langchain==0.62.4 openinference-instrumentation-langchain==0.1.80 >/dev/null 2>&1
cat >"$here/pause.py" <<'PY'
import sys

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if sys.argv[1] == "openinference":
    from openinference.instrumentation.langchain import LangChainInstrumentor as Instrumentor
else:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor as Instrumentor
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
Instrumentor().instrument(tracer_provider=provider)


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **_):
        return self


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid: {interrupt(amount)}"


call = {"name": "pay", "args": {"amount": 3}, "id": "c1"}
model = Model(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))
agent = create_agent(model, [pay], checkpointer=InMemorySaver())
thread = {"configurable": {"thread_id": "t"}}
assert agent.invoke({"messages": [("user", "pay")]}, thread)["__interrupt__"]
asked = [f"{s.name.split()[-1]} {s.status.status_code.name}" for s in spans.get_finished_spans()]
assert agent.invoke(Command(resume="yes"), thread)["messages"][-1].content == "done"
print(sys.argv[1], sorted(said for said in asked if said.split()[0] in ("pay", "tools")))
PY
seen() {
    "$here/env/bin/python" -W ignore "$here/pause.py" "$1" 2>"$here/log"
    grep -o "has no attribute 'on_[a-z]*'" "$here/log" || true
}
all=$(seen opentelemetry && seen openinference)
printf '%s\n' "$all"
test "$all" = "opentelemetry ['pay ERROR', 'tools ERROR']
has no attribute 'on_interrupt'
has no attribute 'on_resume'
openinference ['pay OK', 'tools OK']"
