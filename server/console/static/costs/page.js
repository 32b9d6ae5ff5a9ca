// What runs cost: by day, model and user, as plots and as figures.
import { get } from "../api.js";
import { el, find, icon, put } from "../dom.js";
import { asked, count, money, query } from "../insight/format.js";
import { bars, lanes } from "../insight/plots.js";
import { duration, empty, failure, loading, table } from "../ui.js";

const place = find("#costs");
const DAY_MS = 86_400_000;
const MEASURES = { tokens: "tokens", cost: "cost", runs: "runs", seconds: "time" };

function show() {
  const days = choice("days", [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]], asked("days") || "30");
  const measure = choice("measure", Object.entries(MEASURES), asked("measure") || "tokens");
  const whose = choice("user", [["", "mine"], ["*", "everybody's"]], asked("user"));
  const plots = el("div.stack", {});
  const read = async () => {
    query({ days: days.value, measure: measure.value, user: whose.value }, { replace: true });
    put(plots, loading());
    const since = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - (Number(days.value) - 1) * DAY_MS);
    try {
      const [day, model, user] = await Promise.all(["day", "model", "user"].map((by) => get("/costs", { by, since: since.toISOString(), user: whose.value })));
      put(plots, drawn({ day, model, user }, since, measure.value));
    } catch (problem) {
      put(plots, failure(problem, read));
    }
  };
  for (const control of [days, measure, whose]) control.addEventListener("change", read);
  const field = (label, control) => el("label.field", {}, el("span", {}, label), control);
  put(place, el("div.filters", {}, field("Of the last", days), field("What", measure), place.dataset.admin === "true" ? field("Whose", whose) : null), plots);
  read();
}

function choice(name, options, chosen) {
  const made = el("select", { name }, options.map(([key, text]) => el("option", { value: key }, text)));
  made.value = chosen;
  return made;
}

const value = (row, what) => (what === "tokens" ? row.input_tokens + row.output_tokens : (row[what] ?? 0));
const shown = (number, what) => (what === "cost" ? money(number) : what === "seconds" ? duration(number * 1000) || "0" : count(number));

function drawn(found, since, what) {
  const { totals } = found.day;
  if (!totals.runs) return empty("Nothing ran", "No run was asked for in this time.");
  const sums = [["runs", count(totals.runs)], ["failed", count(totals.failed)], ["tokens in", count(totals.input_tokens)], ["tokens out", count(totals.output_tokens)], ["cost", money(totals.cost)], ["time", duration(totals.seconds * 1000)]];
  const days = filled(found.day.rows, since).map((row) => ({ key: row.key.slice(5), value: value(row, what), said: `${row.key}: ${shown(value(row, what), what)}` }));
  const named = (each) => each.rows.map((row) => ({ key: row.key || "no model", value: value(row, what), shown: shown(value(row, what), what), said: `${row.key}: ${count(row.runs)} runs` })).sort((a, b) => b.value - a.value).slice(0, 12);
  return el(
    "div.stack",
    {},
    el("div.numbers", {}, sums.map(([name, number]) => el("div.figure", {}, el("b", {}, number), el("span", {}, name)))),
    el("section.card", {}, el("h2", {}, `${MEASURES[what][0].toUpperCase()}${MEASURES[what].slice(1)} by day`), bars(days, { label: `${MEASURES[what]} by day`, scale: (number) => shown(number, what) })),
    el("div.sides", {}, el("section.card.stack.close", {}, el("h2", {}, "By model"), lanes(named(found.model), { label: "By model" })), el("section.card.stack.close", {}, el("h2", {}, "By user"), lanes(named(found.user), { label: "By user" }))),
    el("details", {}, el("summary", {}, icon("right"), "The figures"), table([{ name: "Day", cell: (row) => row.key }, ...["runs", "failed", "input_tokens", "output_tokens"].map((name) => ({ name: name.replace("_", " "), number: true, cell: (row) => count(row[name]) })), { name: "cost", number: true, cell: (row) => money(row.cost) }], found.day.rows, "Figures by day")),
  );
}

/** Days without a run are days too. */
function filled(rows, since) {
  const known = new Map(rows.map((row) => [row.key, row]));
  const found = [];
  for (let day = since.getTime(); day <= Date.now(); day += DAY_MS) {
    const key = new Date(day).toISOString().slice(0, 10);
    found.push(known.get(key) ?? { key, runs: 0, failed: 0, input_tokens: 0, output_tokens: 0, cost: 0, seconds: 0 });
  }
  return found;
}

show();
