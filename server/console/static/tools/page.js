// Tool servers: how each does, its tools with a form to try them, its log, and a new start.
import { get, post } from "../api.js";
import { button, el, find, put } from "../dom.js";
import { asked, many, query } from "../insight/format.js";
import { confirmed, dialog, duration, empty, failure, json, loading, pill, report, time } from "../ui.js";

const place = find("#tools");
const operator = place.dataset.operator === "true";

async function show() {
  put(place, loading());
  try {
    const found = await get("/servers");
    if (!found.length) return put(place, empty("No tool servers", "None is configured that you may use. They stand in mcp.json."));
    const side = el("div.stack", {});
    const open = async (each) => {
      query({ server: each.name }, { replace: true });
      for (const other of cards) other.setAttribute("aria-pressed", String(other.dataset.name === each.name));
      if (each.state === "left out") return put(side, el("p.failure-line", {}, each.reason));
      put(side, loading());
      try {
        put(side, server(await get(`/servers/${encodeURIComponent(each.name)}`), () => open(each)));
      } catch (problem) {
        put(side, failure(problem));
      }
    };
    const cards = found.map((each) => card(each, open));
    put(place, el("div.chooser", {}, cards), side);
    open(found.find((each) => each.name === asked("server")) ?? found[0]);
  } catch (problem) {
    put(place, failure(problem, show));
  }
}

const LOOKS = { up: "ok", idle: "plain", off: "plain", starting: "starting", restarting: "starting", down: "down", "left out": "failed" };

function card(each, open) {
  const made = el("button.card.chosen", { type: "button", onclick: () => open(each) }, el("b.one-line", {}, each.name), el("span.row", {}, pill(LOOKS[each.state] ?? "plain", each.state), el("span.muted.small", {}, many(each.tools.length, "tool"))));
  made.dataset.name = each.name;
  return made;
}

function server(found, again) {
  const path = `/servers/${encodeURIComponent(found.name)}`;
  const restart = async () => {
    if (!(await confirmed(`Restart ${found.name}?`, "Calls that are going end as gone.", "Restart"))) return;
    try {
      await post(`${path}/restart`);
      again();
    } catch (problem) {
      report(problem);
    }
  };
  const log = async () => {
    try {
      const { lines } = await get(`${path}/log`);
      await dialog(`Log of ${found.name}`, lines.length ? json(lines.join("\n")) : el("p.muted", {}, "It has written nothing."));
    } catch (problem) {
      report(problem);
    }
  };
  const left = found.left_out ?? [];
  return el(
    "section.stack",
    { "aria-label": found.name },
    el("div.row", {}, pill(LOOKS[found.state] ?? "plain", found.state), found.since ? el("span.muted.small", {}, "since ", time(found.since)) : null, found.restarts ? el("span.muted.small", {}, many(found.restarts, "restart")) : null, el("span.grow", {}), operator ? button("Log", { kind: "tiny", onclick: log }) : null, operator ? button("Restart", { kind: "tiny", icon: "retry", onclick: restart }) : null),
    found.description ? el("p.muted", {}, found.description) : null,
    found.last_error ? el("p.failure-line", {}, found.last_error) : null,
    left.length ? el("p.failure-line", {}, `Left out: ${left.join("; ")}`) : null,
    found.tools.length ? el("ul.plain.stack.close", { "aria-label": "Tools" }, found.tools.map(tool)) : el("p.muted", {}, "No tool is known of it now."),
  );
}

function tool(each) {
  return el("li.card.stack.close", {}, el("div.row", {}, el("code.grow", {}, each.name), each.approval ? pill("waiting", "asks first") : null, button("Try", { kind: "tiny", onclick: () => attempt(each) })), el("p.muted.small", {}, each.description));
}

/** A form for its arguments; what is no plain value is written as JSON. */
async function attempt(each) {
  const properties = Object.entries(each.parameters?.properties ?? {});
  const fields = properties.map(([name, schema]) => [name, schema, field(name, schema, (each.parameters.required ?? []).includes(name))]);
  const answer = el("div.stack", { "aria-live": "polite" });
  const run = button(each.approval ? "I have looked at it: run" : "Run", { kind: "primary" });
  for (const [, , made] of fields) {
    // Enter in a field would press the dialog's Close.
    made.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || event.target.tagName !== "INPUT") return;
      event.preventDefault();
      run.click();
    });
  }
  run.addEventListener("click", async () => {
    put(answer, loading("Calling…"));
    try {
      const given = Object.fromEntries(fields.map(([name, schema, made]) => [name, value(schema, made)]).filter(([, found]) => found !== undefined));
      const found = await post(`/tools/${encodeURIComponent(each.name)}/call`, { arguments: given, approve: Boolean(each.approval) });
      put(answer, el("div.row", {}, pill(found.status), el("span.muted.small", {}, duration(found.duration_ms))), json(found.content));
    } catch (problem) {
      put(answer, el("p.failure-line", { role: "alert" }, problem.message));
    }
  });
  await dialog(each.name, [each.description ? el("p.muted.small", {}, each.description) : null, ...fields.map(([, , made]) => made), el("div.row", {}, run), answer].filter(Boolean));
}

function field(name, schema, required) {
  const hint = schema.description ? el("span.hint", {}, schema.description) : null;
  const control = schema.enum ? el("select", { name }, (required ? [] : [""]).concat(schema.enum).map((each) => el("option", { value: each }, String(each)))) : schema.type === "boolean" ? el("select", { name }, ["", "true", "false"].map((each) => el("option", { value: each }, each))) : plain(schema) ? el("input", { name, type: "text", inputMode: schema.type === "string" ? "text" : "decimal" }) : el("textarea", { name, rows: 3, placeholder: "JSON" });
  if (schema.default !== undefined && schema.default !== null) control.value = plain(schema) ? String(schema.default) : JSON.stringify(schema.default);
  return el("label.field", {}, el("span", {}, required ? `${name} *` : name), control, hint);
}

const plain = (schema) => ["string", "number", "integer"].includes(schema.type);

function value(schema, made) {
  const text = made.querySelector("input, select, textarea").value;
  if (text === "") return undefined;
  if (schema.type === "string" || schema.enum) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

show();
