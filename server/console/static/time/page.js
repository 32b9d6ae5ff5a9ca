// A thread through time: its checkpoints as a line with branches, the state at each, and what can be begun there.
import { base, get, post } from "../api.js";
import { button, el, find, icon, put, svg } from "../dom.js";
import { asked, cut, many, moment, query } from "../insight/format.js";
import { branches, wordOf } from "../said.js";
import { dialog, empty, failure, json, loading, pill, report, time } from "../ui.js";

const place = find("#time");
const ROW = 46;
const LANE = 18;
let chosen = { from: null, to: null };

async function show() {
  const thread = asked("thread");
  if (!thread) return choose();
  put(place, loading());
  try {
    const [about, line] = await Promise.all([get(`/threads/${encodeURIComponent(thread)}`), get(`/threads/${encodeURIComponent(thread)}/line`, { limit: 400 })]);
    if (!line.length) return put(place, head(about), empty("Nothing yet", "This thread has no checkpoint: nothing was said in it, or they are kept no longer."));
    chosen = { from: null, to: asked("checkpoint") || line[0].checkpoint_id };
    const side = el("section.card.stack", { "aria-live": "polite", "aria-label": "State" });
    const drawn = track(line, (id, other) => pick(about, line, id, other, side));
    put(place, head(about), el("div.through", {}, drawn, side));
    pick(about, line, chosen.to, false, side);
  } catch (problem) {
    put(place, el("p", {}, button("Other threads", { onclick: leave })), failure(problem, show));
  }
}

function leave() {
  query({ thread: "", checkpoint: "" });
  show();
}

function head(about) {
  return el("div.row", {}, button("Other threads", { kind: "quiet tiny", onclick: leave }), el("h2.grow.one-line", {}, about.title || about.id), pill(wordOf(about)), about.parent ? el("a.small", { href: `${base}/console/time?thread=${encodeURIComponent(about.parent)}` }, "forked from") : null);
}

async function choose() {
  put(place, loading());
  try {
    const rows = await get("/threads", { limit: 100 });
    if (!rows.length) return put(place, empty("No threads", "A message in the chat begins one."));
    const branch = branches(rows);
    const open = (id) => (event) => {
      event.preventDefault();
      query({ thread: id });
      show();
    };
    const item = (row) => el("li", {}, el("a.pick.row", { href: `?thread=${encodeURIComponent(row.id)}`, onclick: open(row.id) }, el("span.grow.one-line", {}, row.title || row.id), branch.has(row.id) ? el("span.muted.small", {}, branch.get(row.id)) : null, pill(wordOf(row)), el("span.muted.small", {}, many(row.turns, "turn")), time(row.updated_at)));
    put(place, el("ul.plain.card.picks", { "aria-label": "Threads" }, rows.map(item)));
  } catch (problem) {
    put(place, failure(problem, choose));
  }
}

/** The line: the newest above; a branch has a lane of its own. */
function track(line, onPick) {
  const lanes = laned(line);
  const wide = (Math.max(...lanes.values()) + 1) * LANE + 14;
  const at = new Map(line.map((point, row) => [point.checkpoint_id, [lanes.get(point.checkpoint_id) * LANE + 12, row * ROW + ROW / 2]]));
  const paths = line
    .filter((point) => at.has(point.parent))
    .map((point) => {
      const [[x1, y1], [x2, y2]] = [at.get(point.checkpoint_id), at.get(point.parent)];
      return svg("path", { class: "rail-line", d: x1 === x2 ? `M${x1} ${y1}V${y2}` : `M${x1} ${y1}V${y2 - ROW / 2}C${x1} ${y2} ${x1} ${y2} ${x2} ${y2}` });
    });
  const points = line.map((point) => svg("circle", { class: `point s-${point.what}`, cx: at.get(point.checkpoint_id)[0], cy: at.get(point.checkpoint_id)[1], r: 5 }));
  const picture = svg("svg", { class: "line-picture", width: wide, height: line.length * ROW, "aria-hidden": "true" }, ...paths, ...points);
  const rows = line.map((point) => {
    const made = el("button.checkpoint", { type: "button", onclick: (event) => onPick(point.checkpoint_id, event.shiftKey) }, el("b", {}, said(point)), el("span.muted.small", {}, moment(point.created_at)));
    made.dataset.checkpoint = point.checkpoint_id;
    return el("li", {}, made);
  });
  return el("div.card.track-card", {}, el("p.muted.small", {}, "The newest is above. Hold Shift for a second one to compare with."), el("div.line-rows", {}, picture, el("ol.plain", { "aria-label": "Checkpoints, the newest first" }, rows)));
}

const SAID = { began: "a turn begins", ended: "a turn is over", asks: "asks a person", changed: "changed by hand", input: "asked", step: "after a step" };
const said = (point) => SAID[point.what] ?? point.what;

function laned(line) {
  const lanes = new Map();
  const next = new Map();
  let used = 0;
  for (const point of line) {
    const mine = next.get(point.checkpoint_id) ?? used++;
    lanes.set(point.checkpoint_id, mine);
    if (point.parent && (!next.has(point.parent) || next.get(point.parent) > mine)) next.set(point.parent, mine);
  }
  return lanes;
}

async function pick(about, line, id, other, side) {
  if (other && id !== chosen.to) chosen.from = id;
  else chosen = { from: null, to: id };
  query({ checkpoint: chosen.to }, { replace: true });
  for (const each of place.querySelectorAll(".checkpoint")) {
    const mine = each.dataset.checkpoint;
    each.setAttribute("aria-pressed", String(mine === chosen.to));
    each.classList.toggle("other", mine === chosen.from);
  }
  put(side, loading());
  const path = `/threads/${encodeURIComponent(about.id)}`;
  try {
    const point = line.find((each) => each.checkpoint_id === chosen.to);
    const from = chosen.from ?? point?.parent ?? undefined;
    const [state, difference] = await Promise.all([get(`${path}/state`, { checkpoint_id: chosen.to }), from ? get(`${path}/diff`, { from, to: chosen.to }) : null]);
    put(side, doing(path, state), facts(state), difference ? changed(difference, chosen.from) : null, messages(path, state), el("details", {}, el("summary", {}, icon("right"), "The state as JSON"), json(state)));
  } catch (problem) {
    put(side, failure(problem));
  }
}

function doing(path, state) {
  const fork = async () => {
    try {
      const made = await post(`${path}/fork`, { checkpoint_id: state.checkpoint_id });
      location.assign(`${base}/console/time?thread=${encodeURIComponent(made.id)}`);
    } catch (problem) {
      report(problem);
    }
  };
  return el("div.row", {}, button("Fork from here", { icon: "branch", kind: "tiny", onclick: fork }), el("code.small.one-line.grow", {}, state.checkpoint_id));
}

function facts(state) {
  const next = state.next.length ? state.next.join(", ") : "nothing: the turn is over";
  return el("dl.facts", {}, el("dt", {}, "Comes next"), el("dd", {}, next), el("dt", {}, "Waits for"), el("dd", {}, state.interrupts.map((each) => each.kind).join(", ") || "nobody"), el("dt", {}, "Files"), el("dd", {}, state.files.map((file) => file.name).join(", ") || "none"));
}

function changed(found, other) {
  const { messages: said_, files, channels, next } = found;
  const lines = [
    ...said_.added.map((message) => ["+", `${message.role}: ${cut(message.content ?? message.text ?? "", 160)}`]),
    ...said_.removed.map((message) => ["−", `${message.role}: ${cut(message.content ?? message.text ?? "", 160)}`]),
    ...said_.changed.map((pair) => ["~", `${pair.to.role}: ${cut(pair.to.content ?? pair.to.text ?? "", 160)}`]),
    ...files.added.map((file) => ["+", `file ${file.name}`]),
    ...files.removed.map((file) => ["−", `file ${file.name}`]),
    ...Object.keys(channels).map((name) => ["~", name]),
  ];
  if (String(next.from) !== String(next.to)) lines.push(["~", `next: ${next.from.join(", ") || "nothing"} → ${next.to.join(", ") || "nothing"}`]);
  const title = other ? "Against the other checkpoint" : "Since the one before";
  return el("section.stack.close", {}, el("h3", {}, title), lines.length ? el("ul.plain.changes", {}, lines.map(([sign, text]) => el("li", { class: { "+": "added", "−": "removed" }[sign] ?? "" }, el("span.sign", {}, sign), text))) : el("p.muted", {}, "Nothing that is shown."));
}

function messages(path, state) {
  if (!state.messages.length) return el("p.muted", {}, "No message yet.");
  const item = (message) => el("li.said", {}, el("div.row", {}, el("b.grow", {}, message.role), message.role === "user" ? button("Edit and run again", { kind: "quiet tiny", icon: "edit", onclick: () => edit(path, message) }) : null), message.content || message.text ? el("p.answer", {}, message.content ?? message.text) : null, (message.tool_calls ?? []).map((call) => el("p.small", {}, "calls ", el("code", {}, `${call.name}(${JSON.stringify(call.arguments)})`))));
  return el("section.stack.close", {}, el("h3", {}, `Messages of the window (${state.messages.length})`), el("ol.plain.stack.close", {}, state.messages.map(item)));
}

async function edit(path, message) {
  const field = el("textarea", { rows: 5, "aria-label": "What you say instead" });
  field.value = message.content ?? message.text ?? "";
  const told = el("p.muted.small", {}, "A new thread is made up to this message, and runs with what you say instead. This one stays as it is.");
  if ((await dialog("Say something else", [field, told], [{ text: "Cancel", value: "" }, { text: "Run", value: "yes", kind: "primary" }])) !== "yes") return;
  try {
    const made = await post(`${path}/edit`, { message_id: message.id, message: field.value });
    location.assign(`${base}/console/runs?run=${encodeURIComponent(made.run_id)}`);
  } catch (problem) {
    report(problem);
  }
}

window.addEventListener("popstate", show);
show();
