// Two runs side by side: where they part ways.
import { get } from "../api.js";
import { el } from "../dom.js";
import { count, cut, money, moment } from "../insight/format.js";
import { wordOf } from "../said.js";
import { dialog, empty, pill, report, table } from "../ui.js";

/** Ask which other run, and show where the two differ. */
export async function compareWith(run) {
  try {
    const rows = (await get("/runs", { limit: 50 })).filter((each) => each.run_id !== run.run_id && ["done", "failed", "cancelled"].includes(each.status));
    if (!rows.length) return await dialog("Compare", empty("No other run", "There is no other run of yours that has ended."));
    const control = el("select", { name: "other", "aria-label": "The other run" }, rows.map((each) => el("option", { value: each.run_id }, `${cut(each.message || each.run_id, 60)} · ${moment(each.created_at)}`)));
    const chosen = await dialog("Compare with", el("label.field", {}, el("span", {}, "The other run"), control), [{ text: "Cancel", value: "" }, { text: "Compare", value: "yes", kind: "primary" }]);
    if (chosen !== "yes") return;
    const found = await get(`/runs/${encodeURIComponent(run.run_id)}/compare`, { with: control.value });
    const about = [run, rows.find((each) => each.run_id === control.value)];
    await dialog("Two runs", [sums(found.runs, about), comparison(found.same, found.differences, ["this run", "the other"])]);
  } catch (problem) {
    report(problem);
  }
}

function sums(runs, about) {
  const rows = runs.map((run, at) => ({ ...run, at, about: about[at] }));
  const columns = [
    { name: "Run", cell: (row) => el("span", {}, row.at ? "the other" : "this run", el("br", {}), el("span.muted.small", {}, row.about.message ? `${cut(row.about.message, 60)} · ` : "", el("span.moment", {}, moment(row.about.created_at)))) },
    { name: "Status", cell: (row) => pill(wordOf(row)) },
    { name: "Model", cell: (row) => row.usage.model || "–" },
    { name: "Tokens", number: true, cell: (row) => count(row.usage.input_tokens + row.usage.output_tokens) },
    { name: "Cost", number: true, cell: (row) => money(row.cost) },
  ];
  return table(columns, rows, "What each took");
}

/** The steps that differ, both sides of each. */
export function comparison(same, differences, names) {
  if (same) return el("p", {}, pill("ok", "the same"), " Step by step they did the same.");
  return el("div.stack", {}, differences.map(({ step, first, second }) => el("section", {}, el("h3", {}, `Step ${step}`), el("div.sides", {}, side(names[0], first), side(names[1], second)))));
}

const side = (name, did) => el("div", {}, el("p.muted.small", {}, name), el("pre.plain", { tabIndex: 0 }, did ? JSON.stringify(did, null, 2) : "nothing more"));
