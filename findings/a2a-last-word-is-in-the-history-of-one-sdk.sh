#!/bin/sh
# a2a-sdk 1.3.0 (Python) and @a2a-js/sdk 1.3.0, both of A2A 1.0, make two tasks out of the events of one agent. A message that
# comes with a status stands in status.message; Python puts it into the history when the next status or message takes its
# place, JavaScript at once, so there the newest stands in both. A client that shows the history and then the status shows an
# agent's last word (the answer, the question that waits) twice with one server; a client that shows the history alone, which
# is right with that one, loses it with the other. And a first piece of an artifact that says append=true is an artifact in
# JavaScript; in Python the request ends in an error, InvalidAgentResponseError.
# A client tells messages apart by messageId, and a server sends the first piece of an artifact without append.
# Seen, "working" and "done" with two statuses: python history hi, working; javascript history hi, working, done; status done.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "a2a-sdk[http-server]==1.3.0" 2> /dev/null
npm init -y > /dev/null
npm install --ignore-scripts --no-audit --no-fund --loglevel=error "@a2a-js/sdk@1.3.0" > /dev/null
cat > agent.py <<'PY'
import asyncio

from a2a.helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCard, Message, Part, Role, SendMessageRequest, TaskState
from a2a.utils.errors import InvalidAgentResponseError


class Agent(AgentExecutor):
    async def execute(self, context, queue):
        task = new_task_from_user_message(context.message)
        await queue.enqueue_event(task)
        tell = TaskUpdater(queue, task.id, task.context_id)
        working = tell.new_agent_message([Part(text="working")])
        await tell.update_status(TaskState.TASK_STATE_WORKING, working)
        await tell.add_artifact([Part(text="piece")], artifact_id="a", append=context.get_user_input() == "append")
        await tell.complete(tell.new_agent_message([Part(text="done")]))

    async def cancel(self, context, queue):
        pass


async def told(text):
    handler = DefaultRequestHandler(agent_executor=Agent(), task_store=InMemoryTaskStore(), agent_card=AgentCard(name="a"))
    message = Message(message_id="m", role=Role.ROLE_USER, parts=[Part(text=text)])
    try:
        task = await handler.on_message_send(SendMessageRequest(message=message), ServerCallContext())
    except InvalidAgentResponseError as error:
        return type(error).__name__
    history = ",".join(message.parts[0].text for message in task.history)
    return f"{history}; {task.status.message.parts[0].text}; artifacts {len(task.artifacts)}"


async def main():
    for text in ("hi", "append"):
        print("python    ", await told(text))


asyncio.run(main())
PY
cat > agent.mjs <<'JS'
import { Role, TaskState } from "@a2a-js/sdk";
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore, ServerCallContext } from "@a2a-js/sdk/server";

const message = (messageId, role, text, task = {}) => ({
  messageId, role, contextId: "", taskId: "", ...task, extensions: [], referenceTaskIds: [],
  parts: [{ content: { $case: "text", value: text }, filename: "", mediaType: "" }],
});
const agent = {
  async execute({ taskId, contextId, userMessage }, bus) {
    const task = { taskId, contextId };
    const status = (state, text) => ({ state, message: message(text, Role.ROLE_AGENT, text, task) });
    const append = userMessage.parts[0].content.value === "append";
    const artifact = { artifactId: "a", name: "", description: "", extensions: [], parts: message("", 0, "piece").parts };
    bus.publish(AgentEvent.task({
      id: taskId, contextId, status: { state: TaskState.TASK_STATE_SUBMITTED }, history: [userMessage], artifacts: [],
    }));
    bus.publish(AgentEvent.statusUpdate({ ...task, status: status(TaskState.TASK_STATE_WORKING, "working") }));
    bus.publish(AgentEvent.artifactUpdate({ ...task, artifact, append, lastChunk: true }));
    bus.publish(AgentEvent.statusUpdate({ ...task, status: status(TaskState.TASK_STATE_COMPLETED, "done") }));
    bus.finished();
  },
  async cancelTask() {},
};
for (const text of ["hi", "append"]) {
  const handler = new DefaultRequestHandler({ name: "a", capabilities: {} }, new InMemoryTaskStore(), agent);
  const asked = { message: message("m", Role.ROLE_USER, text), tenant: "" };
  const task = await handler.sendMessage(asked, new ServerCallContext());
  const said = ({ parts }) => parts[0].content.value;
  console.log(`javascript ${task.history.map(said)}; ${said(task.status.message)}; artifacts ${task.artifacts.length}`);
}
process.exit(0);
JS
seen=$(env/bin/python -W ignore agent.py 2> /dev/null && node agent.mjs 2> /dev/null)
printf '%s\n' "$seen"
test "$seen" = "python     hi,working; done; artifacts 1
python     InvalidAgentResponseError
javascript hi,working,done; done; artifacts 1
javascript append,working,done; done; artifacts 1"
