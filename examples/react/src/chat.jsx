import { useStream } from "@langchain/langgraph-sdk/react";
import { useState } from "react";

const asks = (content) => ({ messages: [{ type: "human", content }] });
const text = (message) =>
  typeof message.content === "string" ? message.content : message.content.map((part) => part.text ?? "").join("");

/** The thread stands in the address, so that a page that is loaded again goes on with it. */
function useThread() {
  const [thread, setThread] = useState(location.hash.slice(1) || null);
  const keep = (id) => {
    history.replaceState(null, "", id ? `#${id}` : location.pathname + location.search);
    setThread(id);
  };
  return [thread, keep];
}

export function Chat({ apiUrl, apiKey }) {
  const [thread, setThread] = useThread();
  const stream = useStream({
    apiUrl,
    apiKey,
    assistantId: "waystation",
    threadId: thread,
    onThreadId: setThread,
    fetchStateHistory: true,
    // The run goes on when the page is closed, and is taken up when it is opened again.
    reconnectOnMount: true,
  });
  const results = new Map(stream.toolCalls.map((each) => [each.call.id, each]));
  return (
    <main>
      <header>
        <h1>Waystation</h1>
        <button onClick={() => setThread(null)}>New</button>
      </header>
      <ol>
        {stream.messages
          .filter((message) => message.type === "human" || message.type === "ai")
          .map((message) => (
            <Message key={message.id} message={message} stream={stream} results={results} />
          ))}
      </ol>
      {stream.interrupt && !stream.isLoading && <Question asked={stream.interrupt.value} stream={stream} />}
      {stream.error ? <p role="alert">{String(stream.error.message ?? stream.error)}</p> : null}
      <Composer stream={stream} />
    </main>
  );
}

function Message({ message, stream, results }) {
  const [draft, setDraft] = useState(null);
  const known = stream.getMessagesMetadata(message);
  const before = known?.firstSeenState?.parent_checkpoint;
  const branch = (input) => {
    setDraft(null);
    stream.submit(input, { checkpoint: before });
  };
  return (
    <li className={message.type}>
      {draft === null ? (
        <p>{text(message)}</p>
      ) : (
        <form onSubmit={(event) => (event.preventDefault(), branch(asks(draft)))}>
          <input aria-label="Edited message" value={draft} onChange={(event) => setDraft(event.target.value)} />
          <button>Save</button>
        </form>
      )}
      {(message.tool_calls ?? []).map((call) => (
        <ToolCall key={call.id} call={call} found={results.get(call.id)} />
      ))}
      {!stream.isLoading && before && draft === null ? (
        <menu>
          {message.type === "human" ? (
            <button onClick={() => setDraft(text(message))}>Edit</button>
          ) : (
            <button onClick={() => branch(undefined)}>Again</button>
          )}
          <Branches known={known} choose={stream.setBranch} />
        </menu>
      ) : null}
    </li>
  );
}

function ToolCall({ call, found }) {
  return (
    <details open>
      <summary>
        {call.name}({JSON.stringify(call.args)})
      </summary>
      <pre>{found?.result ? text(found.result) : "…"}</pre>
    </details>
  );
}

function Branches({ known, choose }) {
  const all = known.branchOptions ?? [];
  if (all.length < 2) return null;
  const at = all.indexOf(known.branch);
  return (
    <>
      <button aria-label="Earlier branch" disabled={at === 0} onClick={() => choose(all[at - 1])}>
        ‹
      </button>
      {at + 1} of {all.length}
      <button aria-label="Later branch" disabled={at === all.length - 1} onClick={() => choose(all[at + 1])}>
        ›
      </button>
    </>
  );
}

function Question({ asked, stream }) {
  const answer = (approve) => stream.submit(undefined, { command: { resume: { approve } } });
  return (
    <section role="dialog" aria-label="Approval">
      <p>
        May {asked.call?.server} do {asked.call?.tool}({JSON.stringify(asked.call?.arguments ?? {})})?
      </p>
      <button onClick={() => answer(true)}>Approve</button>
      <button onClick={() => answer(false)}>Reject</button>
    </section>
  );
}

function Composer({ stream }) {
  const [draft, setDraft] = useState("");
  const send = (event) => {
    event.preventDefault();
    if (!draft.trim()) return;
    setDraft("");
    stream.submit(asks(draft), {
      // Shown at once; the first values of the stream take its place.
      optimisticValues: (now) => ({ ...now, messages: [...(now.messages ?? []), ...asks(draft).messages] }),
    });
  };
  return (
    <form onSubmit={send}>
      <input aria-label="Message" value={draft} onChange={(event) => setDraft(event.target.value)} autoFocus />
      {stream.isLoading ? (
        <button type="button" onClick={() => stream.stop()}>
          Stop
        </button>
      ) : (
        <button>Send</button>
      )}
    </form>
  );
}
