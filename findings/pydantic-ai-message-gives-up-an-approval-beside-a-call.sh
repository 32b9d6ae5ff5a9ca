#!/bin/sh
# pydantic-ai 2.68.0: a run that ends with DeferredToolRequests waits for an approval, and a new prompt on its history is
# refused, "Cannot provide a new user prompt when the message history contains unprocessed tool calls": so a service may
# rely on it and let the user write. The refusal holds only where the call that waits was alone in its answer. Where another
# tool ran beside it, the same prompt is taken: the model is told that the call "was interrupted before a result was
# produced", nothing in the result says so, and the approval that comes afterwards is refused, since nothing is
# unprocessed any more. Whether an approval survives a word of the user thus depends on what else the model called.
# Who serves both keeps the list of open approvals itself and closes each one with a result before a new prompt.
# Seen:  pay alone          prompt refused; the approval later: paid
#        look beside pay    prompt answered, pay "... interrupted ..."; the approval later: refused, nothing paid
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check "pydantic-ai-slim==2.68.0" 2> /dev/null
cat > "$folder/talk.py" <<'PY'
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

paid, told, answers = [], [], []


def model(messages, info) -> ModelResponse:
    told[:] = [part for message in messages for part in message.parts]
    return ModelResponse(parts=answers.pop(0))


agent = Agent(FunctionModel(model), output_type=[str, DeferredToolRequests])


@agent.tool_plain(requires_approval=True)
def pay(amount: int) -> str:
    paid.append(amount)
    return "paid"


@agent.tool_plain
def look() -> str:
    return "looked"


def talk(*calls: ToolCallPart) -> dict[str, object]:
    """A run that waits, a word of the user instead of the answer, and the answer behind it."""
    paid.clear()
    answers[:] = [list(calls), [TextPart("yes?")], [TextPart("done")]]
    waits = agent.run_sync("pay 5")
    assert [call.tool_call_id for call in waits.output.approvals] == ["p"]
    history, found = waits.all_messages(), {}
    try:
        word = agent.run_sync("wait a moment", message_history=history)
        history, found["word"] = word.all_messages(), word.output
        about_pay = [part for part in told if isinstance(part, ToolReturnPart) and part.tool_call_id == "p"]
        found["told"] = [part.content for part in about_pay]
    except UserError as error:
        found["word"] = str(error).split(".")[0]
    try:
        approved = DeferredToolResults(approvals={"p": True})
        found["approval"] = agent.run_sync(message_history=history, deferred_tool_results=approved).output
    except UserError as error:
        found["approval"] = str(error).split(".")[0]
    return found | {"paid": list(paid)}


pays = ToolCallPart("pay", {"amount": 5}, "p")
alone, beside = talk(pays), talk(ToolCallPart("look", {}, "l"), pays)
print("alone ", alone)
print("beside", beside)
assert alone == {
    "word": "Cannot provide a new user prompt when the message history contains unprocessed tool calls",
    "approval": "yes?",
    "paid": [5],
}, alone
assert beside == {
    "word": "yes?",
    "told": ["The tool call was interrupted before a result was produced."],
    "approval": "Tool call results were provided, but the message history does not contain any unprocessed tool calls",
    "paid": [],
}, beside
PY
"$folder/env/bin/python" -W ignore "$folder/talk.py"
