import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  BranchPickerPrimitive,
  ComposerPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  useAuiState,
} from "@assistant-ui/react";
import {
  useLangGraphInterruptState,
  useLangGraphRuntime,
  useLangGraphSend,
  useLangGraphSendCommand,
} from "@assistant-ui/react-langgraph";
import { useEffect, useMemo, useRef } from "react";
import { serviceAt } from "./service.js";

// The thread stands in the address, so that a page that is loaded again goes on with it.
const opened = location.hash.slice(1) || undefined;
const keep = (thread) => history.replaceState(null, "", thread ? `#${thread}` : location.pathname + location.search);

export function Chat({ apiUrl, apiKey }) {
  const service = useMemo(() => serviceAt(apiUrl, apiKey), [apiUrl, apiKey]);
  const runtime = useLangGraphRuntime({
    stream: service.stream,
    load: service.load,
    getCheckpointId: service.getCheckpointId,
    unstable_allowCancellation: true,
    unstable_threadListAdapter: service.threads,
    initialThreadId: opened,
    onThreadIdChange: keep,
  });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <TakesUp service={service} />
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Viewport>
          <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage, EditComposer }} />
        </ThreadPrimitive.Viewport>
        <Question />
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input aria-label="Message" rows={1} autoFocus />
          <ThreadPrimitive.If running={false}>
            <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
          </ThreadPrimitive.If>
          <ThreadPrimitive.If running>
            <ComposerPrimitive.Cancel>Stop</ComposerPrimitive.Cancel>
          </ThreadPrimitive.If>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

/** A run that went on while the page was away is streamed again from its start. */
function TakesUp({ service }) {
  const send = useLangGraphSend();
  // The thread's runtime comes a moment behind the page; what is sent before that is refused.
  const ready = useAuiState(({ thread }) => thread.extras !== undefined && !thread.isLoading);
  const looked = useRef(false);
  useEffect(() => {
    if (!opened || !ready || looked.current) return;
    looked.current = true;
    service.running(opened).then((run) => run && send([], { runConfig: { takesUp: { thread: opened, run } } }));
  }, [ready]);
  return null;
}

const Text = ({ text }) => <p>{text}</p>;

function ToolCall({ toolName, args, result }) {
  const shown = typeof result === "string" ? result : JSON.stringify(result);
  return (
    <details open>
      <summary>
        {toolName}({JSON.stringify(args)})
      </summary>
      <pre>{shown ?? "…"}</pre>
    </details>
  );
}

function UserMessage() {
  return (
    <MessagePrimitive.Root className="human">
      <MessagePrimitive.Content components={{ Text }} />
      <ActionBarPrimitive.Root hideWhenRunning>
        <ActionBarPrimitive.Edit>Edit</ActionBarPrimitive.Edit>
      </ActionBarPrimitive.Root>
      <Branches />
    </MessagePrimitive.Root>
  );
}

function AssistantMessage() {
  return (
    <MessagePrimitive.Root className="ai">
      <MessagePrimitive.Content components={{ Text, tools: { Fallback: ToolCall } }} />
      <MessagePrimitive.Error>
        <p role="alert">The turn failed.</p>
      </MessagePrimitive.Error>
      <ActionBarPrimitive.Root hideWhenRunning>
        <ActionBarPrimitive.Reload>Again</ActionBarPrimitive.Reload>
      </ActionBarPrimitive.Root>
      <Branches />
    </MessagePrimitive.Root>
  );
}

function EditComposer() {
  return (
    <ComposerPrimitive.Root className="human">
      <ComposerPrimitive.Input aria-label="Edited message" />
      <ComposerPrimitive.Cancel>Cancel</ComposerPrimitive.Cancel>
      <ComposerPrimitive.Send>Save</ComposerPrimitive.Send>
    </ComposerPrimitive.Root>
  );
}

function Branches() {
  return (
    <BranchPickerPrimitive.Root hideWhenSingleBranch>
      <BranchPickerPrimitive.Previous aria-label="Earlier branch">‹</BranchPickerPrimitive.Previous>
      <BranchPickerPrimitive.Number /> of <BranchPickerPrimitive.Count />
      <BranchPickerPrimitive.Next aria-label="Later branch">›</BranchPickerPrimitive.Next>
    </BranchPickerPrimitive.Root>
  );
}

function Question() {
  const asked = useLangGraphInterruptState()?.value;
  const answer = useLangGraphSendCommand();
  if (!asked) return null;
  return (
    <section role="dialog" aria-label="Approval">
      <p>
        May {asked.call?.server} do {asked.call?.tool}({JSON.stringify(asked.call?.arguments ?? {})})?
      </p>
      <button onClick={() => answer({ resume: { approve: true } })}>Approve</button>
      <button onClick={() => answer({ resume: { approve: false } })}>Reject</button>
    </section>
  );
}
