// One run: its figures, the waterfall, its events, its log lines, and what can be done with it.
import { address, base, get, post } from "../api.js";
import { rendered } from "../chat/markdown.js";
import { button, el, fill, icon, put } from "../dom.js";
import { count, cut, money, moment, pairs } from "../insight/format.js";
import { waterfall } from "../insight/waterfall.js";
import { follow } from "../stream.js";
import { calmly } from "../insight/lists.js";
import { wordOf } from "../said.js";
import { dialog, duration, failure, json, loading, pill, report, table, tabs, time } from "../ui.js";
import { comparison, compareWith } from "./compare.js";
import { events } from "./events.js";

/** Draw the run; gives a function that ends what it does by itself. */
export function one(place, id, back) {
  const ends = new AbortController();
  put(place, loading());
  const parts = { head: el("div.stack", {}), fall: el("div", {}), view: null };
  // The list has what it was asked, and the title of its thread.
  const named = get("/runs", { q: id, limit: 1 }).then(([row]) => row ?? {}, () => ({}));
  const refresh = async () => {
    try {
      const [run, found] = await Promise.all([get(`/runs/${encodeURIComponent(id)}`), get(`/runs/${encodeURIComponent(id)}/spans`)]);
      if (ends.signal.aborted) return run;
      put(parts.head, head(run, found, await named, back, refresh));
      put(parts.fall, waterfall(found), marks(found));
      if (!parts.view) {
        parts.view = views(id, parts);
        put(place, parts.head, parts.view);
      }
      parts.log?.();
      return run;
    } catch (problem) {
      put(place, el("p", {}, button("All runs", { onclick: back })), failure(problem));
      return null;
    }
  };
  live(id, refresh, parts, ends.signal);
  return () => ends.abort();
}

/** While it runs, read again whenever it tells something. */
async function live(id, refresh, parts, signal) {
  const run = await refresh();
  if (!run || !["running", "queued"].includes(run.status)) return;
  const soon = calmly(refresh, 150);
  const timer = setInterval(() => document.visibilityState === "visible" && refresh(), 1500);
  signal.addEventListener("abort", () => clearInterval(timer));
  try {
    await follow(id, { onEvent: (event) => (soon(), parts.events?.add(event)), signal });
  } catch (problem) {
    report(problem);
  }
  clearInterval(timer);
  if (!signal.aborted) refresh();
  // The last lines are written a moment behind what they tell of.
  setTimeout(() => signal.aborted || parts.log?.(), 1000);
}

const plural = (number, word) => (number === 1 ? word : `${word}s`);

function head(run, { totals, duration_ms: took }, { message = "" }, back, refresh) {
  const figures = [
    ["took", run.ended_at ? duration(took) : "goes on"],
    [plural(totals.model_calls, "model call"), count(totals.model_calls), duration(totals.model_ms)],
    [plural(totals.tool_calls, "tool call"), count(totals.tool_calls), duration(totals.tool_ms)],
    ["tokens", `${count(totals.input_tokens)} + ${count(totals.output_tokens)}`],
    ["cost", money(totals.cost)],
    ["waited", duration(totals.waiting_ms + totals.queue_ms)],
    [plural(totals.attempts, "attempt"), totals.attempts],
  ];
  return el(
    "section.card.stack",
    { "aria-label": "The run" },
    el("div.row", {}, button("All runs", { kind: "quiet tiny", onclick: back }), pill(wordOf(run)), run.reason && run.reason !== "person" ? el("span.muted.small", {}, run.reason) : null, el("span.muted.small", {}, "asked ", time(run.created_at)), el("code.small.muted.grow.one-line", {}, run.run_id)),
    message ? el("h2", {}, cut(message.replace(/\s+/g, " ").trim(), 200)) : null,
    el("div.numbers", {}, figures.map(([name, value, beside]) => el("div.figure", {}, el("b", {}, String(value)), el("span", {}, beside ? `${name}, ${beside}` : name)))),
    run.error ? el("p.failure-line", {}, `${run.error.title ?? ""} ${run.error.detail ?? ""}`.trim()) : null,
    actions({ ...run, message }, refresh),
  );
}

function actions(run, refresh) {
  const path = `/runs/${encodeURIComponent(run.run_id)}`;
  const over = ["done", "failed", "cancelled"].includes(run.status);
  const cancel = async () => {
    try {
      await post(`${path}/cancel`);
      await refresh();
    } catch (problem) {
      report(problem);
    }
  };
  return el(
    "div.row",
    {},
    el("a.button.tiny", { href: `${base}/?thread=${encodeURIComponent(run.thread_id)}` }, "Conversation"),
    el("a.button.tiny", { href: `${base}/console/time?thread=${encodeURIComponent(run.thread_id)}` }, "Thread through time"),
    over ? el("a.button.tiny", { href: address(`${path}/recording`), download: `${run.run_id}.json` }, "Record") : null,
    over ? button("Replay", { kind: "tiny", onclick: (event) => replay(path, event.currentTarget) }) : null,
    over ? button("Compare", { kind: "tiny", onclick: () => compareWith(run) }) : null,
    over ? null : button("Stop", { kind: "danger tiny", onclick: cancel }),
  );
}

async function replay(path, control) {
  control.disabled = true;
  try {
    const found = await post(`${path}/replay`);
    await dialog("Replayed", comparison(found.same, found.differences.map(({ step, recorded, replayed }) => ({ step, first: recorded, second: replayed })), ["recorded", "replayed"]));
  } catch (problem) {
    report(problem);
  }
  control.disabled = false;
}

function views(id, parts) {
  const log = () => {
    const shown = el("div", {}, loading());
    // Read again with the rest of the page: while the run goes on, its lines go on.
    parts.log = () => get(`/runs/${encodeURIComponent(id)}/log`).then((found) => put(shown, lines(found)), (problem) => put(shown, failure(problem)));
    parts.log();
    return shown;
  };
  parts.events = null;
  const told = () => {
    parts.events = events(id);
    return parts.events.node;
  };
  return tabs([{ name: "Waterfall", content: parts.fall }, { name: "Events", content: told }, { name: "Log", content: log }, { name: "Answer", content: () => answer(id) }], "The run");
}

function answer(id) {
  return lazily(get(`/runs/${encodeURIComponent(id)}`), (run) => (run.output ? el("div.stack", {}, said(run.output.answer), el("details", {}, el("summary", {}, icon("right"), "The reply as JSON"), json(run.output))) : el("p.muted", {}, "It has no answer yet.")));
}

/** The answer as people read it; as it was written until its HTML has come. */
function said(text) {
  if (!text) return el("p.muted", {}, "It says nothing.");
  const shown = el("div.prose", {}, text);
  rendered([text]).then(([html]) => fill(shown, html), () => {});
  return shown;
}

function lines(found) {
  if (!found.length) return el("p.muted", {}, "The audit log of this machine has no line of it: it is switched off, or older than what is kept.");
  const columns = [
    { name: "When", cell: (row) => el("span.moment", {}, moment(row.at)) },
    { name: "What", cell: (row) => row.what },
    { name: "Outcome", cell: (row) => pill(row.outcome) },
    { name: "Details", cell: (row) => el("code.small.long", {}, pairs(row.details)) },
  ];
  return table(columns, found, "Log lines of the run");
}

function marks({ marks: found }) {
  if (!found.length) return null;
  return el("ul.plain.marks", { "aria-label": "Notices and errors" }, found.map((mark) => el("li.row", {}, pill(mark.type), el("span.number.muted", {}, duration(mark.at_ms)), el("code", {}, mark.code), el("span", {}, mark.detail))));
}

/** What a promise gives, drawn when it is there. */
export function lazily(promise, draw) {
  const place = el("div", {}, loading());
  promise.then((found) => put(place, draw(found)), (problem) => put(place, failure(problem)));
  return place;
}
