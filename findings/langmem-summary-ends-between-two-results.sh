#!/bin/sh
# langmem 0.0.30 (langchain 1.5.2): summarize_messages, and SummarizationNode over it, ends a summary where its tokens are
# full, and takes the results of an answer's calls along where that answer is the last message. Where the limit falls on the
# first of two results, the call and one result go into the summary and the other result stays: the model is sent a tool
# message without its call, which providers of chat completions refuse, at this request and each one after it, since the
# place is kept in running_summary. With a call an answer it never happens. SummarizationMiddleware of langchain moves the
# cut. The place is the id of a message: when that one is removed from the thread (an edit, "delete this message"), every
# later turn ends in "Message with ID ... has already been summarized".
# Seen, question, two calls, two results, answer, question; a limit at the third message: what is left begins with the tool
# message "y" behind the summary; langchain leaves the answer with its two calls; after the removal ValueError.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "langmem==0.0.30" "langchain==1.5.2" "langgraph==1.2.24" \
    > /dev/null 2>&1
cat > "$folder/summary.py" <<'PY'
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.runtime import Runtime
from langmem.short_term import summarize_messages

MODEL = FakeListChatModel(responses=["summary"])
CALLS = [{"name": "look", "args": {}, "id": name, "type": "tool_call"} for name in "xy"]
THREAD = [
    HumanMessage("how is it?", id="1"),
    AIMessage("", id="2", tool_calls=CALLS),
    ToolMessage("rain", id="3", tool_call_id="x"),
    ToolMessage("wind", id="4", tool_call_id="y"),
    AIMessage("stay in", id="5"),
    HumanMessage("and now?", id="6"),
]


def summarized(thread, summary):
    sizes = {"max_tokens": 10, "max_tokens_before_summary": 3, "max_summary_tokens": 1}
    return summarize_messages(thread, running_summary=summary, model=MODEL, token_counter=len, **sizes)


def kinds(messages):
    return [f"{m.type} {m.tool_call_id}" if m.type == "tool" else m.type for m in messages]


first = summarized(THREAD, None)
print("langmem   ", kinds(first.messages))
middleware = SummarizationMiddleware(MODEL, trigger=("messages", 6), keep=("messages", 3), token_counter=len)
told = middleware.before_model({"messages": THREAD}, Runtime())["messages"]
kept = [message for message in told if not isinstance(message, RemoveMessage)]
print("middleware", kinds(kept))
edited = [m for m in THREAD if m.id != first.running_summary.last_summarized_message_id]
try:
    said = kinds(summarized(edited, first.running_summary).messages)
except ValueError as error:
    said = str(error)
print("edited    ", said)
assert kinds(first.messages) == ["system", "tool y", "ai", "human"]
assert kinds(kept) == ["human", "ai", "tool x", "tool y", "ai", "human"]
assert said == "Message with ID 1 has already been summarized."
PY
"$folder/env/bin/python" -W ignore "$folder/summary.py"
