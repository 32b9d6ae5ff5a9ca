// The raw events of a run, read page by page as they are scrolled to; only some thousand stand in the page.
import { get } from "../api.js";
import { button, el, put } from "../dom.js";
import { instant, moment } from "../insight/format.js";
import { json, report } from "../ui.js";

const PAGE = 200;

/** The list; `add` takes an event that has just been told. */
export function events(run) {
  const rows = el("ol.plain.events", {});
  const foot = el("p.more", {});
  const types = el("select", { "aria-label": "Type of events" }, ["", "run_started", "config", "documents", "token", "reasoning", "tool_call", "tool_progress", "tool_result", "interrupt", "file", "usage", "notice", "error", "done"].map((name) => el("option", { value: name }, name || "every type")));
  let [last, busy, whole] = [0, false, false];
  async function more() {
    if (busy || whole) return;
    busy = true;
    try {
      const found = await get(`/runs/${encodeURIComponent(run)}/events/page`, { after: last, limit: PAGE, type: types.value });
      rows.append(...found.events.map(drawn));
      last = found.events.at(-1)?.seq ?? last;
      whole = found.next === null;
      put(foot, whole ? null : button("More events", { onclick: more }));
    } catch (problem) {
      report(problem);
    }
    busy = false;
  }
  const begin = () => {
    put(rows);
    [last, whole] = [0, false];
    more();
  };
  types.addEventListener("change", begin);
  new IntersectionObserver((seen) => seen[0].isIntersecting && last && more()).observe(foot);
  begin();
  return {
    node: el("div.stack", {}, el("div.row", {}, types), rows, foot),
    // What is told while the list stands at its end is read as a page: neighbouring tokens come as one there.
    add: () => {
      if (whole) {
        whole = false;
        more();
      }
    },
  };
}

function drawn(event) {
  const { seq, type, run_id: _, at, ...rest } = event;
  const shown = JSON.stringify(rest);
  const opened = el("details", {}, el("summary.event", {}, el("span.number.muted", {}, String(seq)), el("time.number.muted", { title: moment(at) }, instant(at)), el("b", {}, type), el("span.one-line.muted", {}, shown)));
  opened.addEventListener("toggle", () => opened.children.length < 2 && opened.append(json(event)), { once: true });
  return el("li", {}, opened);
}
