// A run's events as they come. A connection that is cut is made again, from the last event that was read.
import { asked, Problem } from "./api.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8000;

/**
 * Follow a run to its last event.
 *
 * @param {string} run  Its id.
 * @param {(event: object) => void} onEvent  Called with each event, once and in order.
 * @param {(connected: boolean) => void} [onLine]  Called when the connection is cut, and when it is there again.
 * @param {number} [after]  Number of the last event that is known already.
 * @returns {Promise<void>} Resolved behind the last event.
 * @throws {Problem} The run cannot be read: a connection that fails is none of these.
 */
export async function follow(run, { onEvent, onLine = () => {}, after = 0, signal } = {}) {
  let last = after;
  let wait = FIRST_WAIT_MS;
  while (!signal?.aborted) {
    try {
      const headers = last ? { "Last-Event-ID": String(last) } : {};
      const answer = await asked("GET", `/runs/${encodeURIComponent(run)}/events`, { headers, signal });
      onLine(true);
      wait = FIRST_WAIT_MS;
      const ended = await read(answer.body, (event, id) => {
        if (id && id <= last) return;
        last = id || last;
        onEvent(event);
      });
      if (ended) return;
    } catch (fault) {
      if (fault.name === "AbortError") return;
      if (fault instanceof Problem && fault.status >= 400 && fault.status < 500 && fault.status !== 429) throw fault;
    }
    onLine(false);
    await pause(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

/** Read server-sent events; true when the stream said that it is at its end. */
async function read(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return false;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) if (taken(block, take)) return true;
  }
}

function taken(block, take) {
  const found = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) found[line.slice(0, at)] = line.slice(at + 1).trimStart();
  }
  if (found.event === "end") return true;
  if (found.data) take(JSON.parse(found.data), Number(found.id) || 0);
  return false;
}

/** Wait, less where the machine says that it is connected again. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    window.addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}
