// The number of questions that wait for this person, wherever they were asked.
import { get } from "./api.js";
import { findAll } from "./dom.js";

const EVERY_MS = 4000;
const listeners = new Set();
let known = null;

/** Be told the number whenever it is another one; gives how to stop. */
export function onQuestions(listener) {
  listeners.add(listener);
  if (known !== null) listener(known);
  return () => listeners.delete(listener);
}

/** Ask now: something has just happened that may have changed it. */
export async function askNow() {
  const { waiting } = await get("/questions/count");
  if (waiting === known) return;
  known = waiting;
  show(waiting);
  for (const listener of listeners) listener(waiting);
}

function show(number) {
  for (const badge of findAll("[data-badge]")) {
    badge.hidden = number === 0;
    badge.textContent = number > 99 ? "99+" : String(number);
    badge.setAttribute("aria-label", `${number} waiting`);
  }
}

/** Look every few seconds, while somebody looks at the page. */
export function watchBadge() {
  const look = () => {
    if (!document.hidden) askNow().catch(() => {});
  };
  look();
  setInterval(look, EVERY_MS);
  document.addEventListener("visibilitychange", look);
}
