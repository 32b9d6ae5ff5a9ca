// The graph with its figures; while a run goes on, the step that works is lit.
import { asked as call, get } from "../api.js";
import { el, fill, find, findAll, put } from "../dom.js";
import { count } from "../insight/format.js";
import { follow } from "../stream.js";
import { duration, empty, failure, pill, table } from "../ui.js";

const place = find("#graph");
const LOOK_MS = 2000;
// Which part of a turn works behind each event, until the next one.
const BEHIND = { run_started: "config", config: "passages", documents: "model", token: "model", reasoning: "model", tool_call: "tools", tool_progress: "tools", tool_result: "model", file: "files", usage: "model" };
let lit = null;

async function show() {
  try {
    const [found, answer] = await Promise.all([get("/graph"), call("GET", "/graph", { query: { format: "svg" } })]);
    const picture = el("div.card.graph-card", {});
    fill(picture, await answer.text());
    const live = el("div.row.live", { "aria-live": "polite" });
    put(place, live, el("div.through", {}, picture, figures(found)));
    watch(found, live);
  } catch (problem) {
    put(place, failure(problem, show));
  }
}

function figures(found) {
  const steps = found.nodes.filter((node) => node.figures);
  const columns = [
    { name: "Step", cell: (row) => el("code", {}, row.name) },
    { name: "Ran", number: true, cell: (row) => count(row.figures.count) },
    { name: "Failed", number: true, cell: (row) => count(row.figures.errors) },
    { name: "Median", number: true, cell: (row) => duration(row.figures.median_ms) || "–" },
    { name: "95 %", number: true, cell: (row) => duration(row.figures.p95_ms) || "–" },
    { name: "Longest", number: true, cell: (row) => duration(row.figures.longest_ms) || "–" },
  ];
  const told = found.runs ? `Of the newest ${count(found.runs)} runs.` : "No run yet: the figures come with the first one.";
  return el("div.stack", {}, el("p.muted.small", {}, told), steps.length ? table(columns, steps, "Figures of the steps") : empty("No steps"));
}

/** Look for a run that goes on, and follow it to its end. */
async function watch(found, live) {
  for (;;) {
    const [run] = document.visibilityState === "visible" ? await get("/runs", { status: "running", limit: 1 }).catch(() => []) : [];
    if (run) await followed(found, run, live);
    else put(live, pill("plain", "nothing runs now"));
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function followed(found, run, live) {
  const steps = new Map(found.nodes.filter((node) => node.main).map((node) => [node.part, node.id]));
  const show_ = (part) => {
    light(steps.get(part));
    put(live, pill("running", steps.get(part)?.replaceAll("_", " ") ?? "running"), el("span.one-line.muted", {}, run.message || run.run_id));
  };
  try {
    await follow(run.run_id, { onEvent: (event) => BEHIND[event.type] && show_(BEHIND[event.type]) });
  } catch {
    // Somebody has deleted it meanwhile: there is nothing to follow.
  }
  light(null);
}

function light(step) {
  if (step === lit) return;
  lit = step;
  for (const node of findAll(".node")) node.classList.toggle("lit", node.dataset.step === step);
}

show();
