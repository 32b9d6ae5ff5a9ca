// A question to a person as a card: what would run or is asked, and how it is answered.
import { askNow } from "./badge.js";
import { post } from "./api.js";
import { button, el, put } from "./dom.js";
import { schemaForm } from "./schema.js";
import { json, time } from "./ui.js";

/**
 * @param {object} row  As GET /questions has it; `question` and `run_id` are needed.
 * @param {(text: string) => void} onAnswered  Told what was decided.
 */
export function questionCard(row, { onAnswered = () => {}, head = null } = {}) {
  const { question } = row;
  const body = el("div.stack.close");
  const problem = el("p.failure-line", { role: "alert", hidden: true });
  const card = el("section.card.question.stack.close", { "data-question": question.id, "aria-label": "A question to you" }, head, top(row), body, problem);

  async function answer(given, told) {
    problem.hidden = true;
    for (const each of card.querySelectorAll("button")) each.disabled = true;
    try {
      await post(`/runs/${encodeURIComponent(row.run_id)}/resume`, { resume: { [question.id]: given } });
      put(card, head, el("p.muted", {}, `${told}: ${question.detail ?? ""}`));
      askNow().catch(() => {});
      onAnswered(told);
    } catch (fault) {
      for (const each of card.querySelectorAll("button")) each.disabled = false;
      problem.textContent = fault.message;
      problem.hidden = false;
    }
  }

  function tried(make, told) {
    try {
      answer(make(), told);
    } catch (fault) {
      problem.textContent = fault.message;
      problem.hidden = false;
    }
  }

  (KINDS[question.kind] ?? other)({ question, body, answer, tried });
  return card;
}

function top({ question, asked_at: since }) {
  const words = { approval: "Wants your word", elicitation: "Asks you", budget: "Wants more to spend", credential: "Needs a credential" };
  const about = el("p.row.small.muted", {}, el("span.pill.waits", {}, words[question.kind] ?? question.kind), question.call?.server ? el("span", {}, `${question.call.server} · ${question.call.tool}`) : null, since ? time(since) : null);
  return el("div.stack.close", {}, about, el("p.asks", {}, question.detail ?? ""));
}

const KINDS = {
  approval({ question, body, answer, tried }) {
    const given = question.call?.arguments ?? {};
    const shape = question.review_configs?.[0]?.args_schema;
    const place = el("div", {}, Object.keys(given).length ? json(given) : el("p.muted.small", {}, "Without arguments"));
    const actions = el("div.row");
    const first = [
      button("Approve", { kind: "primary", icon: "check", onclick: () => answer({ approve: true }, "Approved") }),
      button("Change the arguments", { icon: "edit", onclick: edit }),
      button("Reject", { kind: "quiet", icon: "close", onclick: reject }),
    ];
    const back = button("Back", { kind: "quiet", onclick: start });

    function start() {
      put(place, Object.keys(given).length ? json(given) : el("p.muted.small", {}, "Without arguments"));
      put(actions, first);
    }

    function edit() {
      const form = schemaForm(shape, given);
      put(place, form.element);
      put(actions, button("Approve with these", { kind: "primary", icon: "check", onclick: () => tried(() => ({ approve: true, arguments: form.value() }), "Approved with other arguments") }), back);
      place.querySelector("input, textarea, select")?.focus();
    }

    function reject() {
      const why = el("input", { type: "text", id: `why-${question.id}`, maxlength: 2000 });
      put(place, el("div.field", {}, el("label", { for: why.id }, el("b", {}, "Why not? The model reads it. (may be left out)")), why));
      const said = () => ({ approve: false, ...(why.value.trim() ? { reason: why.value.trim() } : {}) });
      put(actions, button("Reject", { kind: "danger", icon: "close", onclick: () => answer(said(), "Rejected") }), back);
      why.focus();
    }

    put(body, place, actions);
    start();
  },

  elicitation({ question, body, answer, tried }) {
    const form = schemaForm(question.schema);
    const send = button("Send", { kind: "primary", icon: "check", onclick: () => tried(() => ({ action: "accept", content: form.value() }), "Answered") });
    const no = button("Decline", { onclick: () => answer({ action: "decline" }, "Declined") });
    const shut = button("Close without an answer", { kind: "quiet", onclick: () => answer({ action: "cancel" }, "Closed") });
    put(body, form.element, el("div.row", {}, send, no, shut));
  },

  budget({ body, answer }) {
    const yes = button("Approve", { kind: "primary", icon: "check", onclick: () => answer({ approve: true }, "Approved") });
    put(body, el("div.row", {}, yes, button("Reject", { onclick: () => answer({ approve: false }, "Rejected") })));
  },

  credential({ body, answer, question }) {
    const name = el("input", { type: "text", id: `name-${question.id}` });
    const field = el("div.field", {}, el("label", { for: name.id }, el("b", {}, "Name of a stored credential")), name);
    const use = button("Use it", { kind: "primary", onclick: () => answer({ credential: name.value }, "Given") });
    put(body, field, el("div.row", {}, use, button("Decline", { onclick: () => answer({ decline: true }, "Declined") })));
  },
};

/** A kind that steps of others ask with: any object is an answer. */
function other({ body, tried }) {
  const form = schemaForm({});
  put(body, form.element, el("div.row", {}, button("Send", { kind: "primary", onclick: () => tried(() => form.value(), "Answered") })));
}
