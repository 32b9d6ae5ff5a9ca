import { unstable_createLangGraphStream } from "@assistant-ui/react-langgraph";
import { Client } from "@langchain/langgraph-sdk";

const ASSISTANT = "waystation";
const MODES = ["messages-tuple", "updates", "custom"];

/** What assistant-ui's runtime for LangGraph asks of a service. */
export function serviceAt(apiUrl, apiKey) {
  const client = new Client({ apiUrl, apiKey: apiKey ?? null });
  // The run goes on when the page is closed, and is taken up when it is opened again.
  const begun = unstable_createLangGraphStream({
    client,
    assistantId: ASSISTANT,
    streamMode: MODES,
    onDisconnect: "continue",
  });

  return {
    stream: async (messages, config) => {
      const taken = config.runConfig?.takesUp;
      if (!taken) return begun(messages, config);
      return client.runs.joinStream(taken.thread, taken.run, { streamMode: MODES, signal: config.abortSignal });
    },

    /** The run that goes on there. */
    running: async (thread) => (await client.runs.list(thread, { status: "running", limit: 1 }))[0]?.run_id,

    load: async (thread) => {
      const state = await client.threads.getState(thread);
      return { messages: state.values.messages ?? [], interrupts: state.tasks.flatMap((task) => task.interrupts) };
    },

    /** The newest state that ends with the messages before an edited one: a new run goes on from there. */
    getCheckpointId: async (thread, before) => {
      const ids = before.map((message) => message.id).join();
      const states = await client.threads.getHistory(thread, { limit: 100 });
      const fitting = states.filter((state) => (state.values.messages ?? []).map((one) => one.id).join() === ids);
      return fitting[0]?.checkpoint.checkpoint_id ?? null;
    },

    threads: {
      list: async () => ({ threads: (await client.threads.search({ limit: 20 })).map(shown) }),
      initialize: async () => {
        const { thread_id } = await client.threads.create();
        return { remoteId: thread_id, externalId: thread_id };
      },
      fetch: async (thread) => shown(await client.threads.get(thread)),
      rename: (thread, title) => client.threads.update(thread, { metadata: { title } }),
      delete: (thread) => client.threads.delete(thread),
      archive: async () => {},
      // The service gives a title by itself.
      generateTitle: async () => new ReadableStream({ start: (end) => end.close() }),
    },
  };
}

const shown = ({ thread_id, metadata }) => ({
  remoteId: thread_id,
  externalId: thread_id,
  status: "regular",
  title: metadata?.title,
});
