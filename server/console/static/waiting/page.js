// Waiting for you: the questions of all conversations, and what was decided.
import { base, get } from "../api.js";
import { onQuestions } from "../badge.js";
import { el, find, put } from "../dom.js";
import { pairs } from "../insight/format.js";
import { questionCard } from "../questions.js";
import { empty, failure, loading, pill, table, tabs, time } from "../ui.js";

const waiting = el("div.stack.reading", {}, loading());
const decided = el("div.stack", {}, loading());
const link = (row) => el("a", { href: `${base}/?thread=${encodeURIComponent(row.thread_id)}` }, row.thread_title || "Without a title");

async function showWaiting() {
  try {
    const rows = await get("/questions", { status: "waiting", limit: 100 });
    const here = new Map([...waiting.querySelectorAll("[data-question]")].map((card) => [card.dataset.question, card]));
    // A card that somebody fills in stays as it is.
    const cards = rows.map((row) => here.get(row.question.id) ?? questionCard(row, { head: el("h2", {}, link(row)), onAnswered: later }));
    put(waiting, cards.length ? cards : empty("Nothing waits for you", "When a tool needs your word, or asks you something, it stands here."));
  } catch (problem) {
    put(waiting, failure(problem, showWaiting));
  }
}

const later = () => setTimeout(showWaiting, 1500);
const WORDS = { approve: "approved", edit: "edited", reject: "rejected", respond: "answered", accept: "answered", decline: "declined", cancel: "closed", answer: "answered" };
const tool = ({ call }) => (call ? (call.server ? `${call.server} · ${call.tool}` : call.tool) : "a step of the graph");
const COLUMNS = [
  { name: "What", cell: (row) => el("span", {}, el("b", {}, tool(row)), row.detail ? el("span.muted", {}, el("br", {}), row.detail) : null) },
  { name: "Decision", cell: ({ decision }) => el("span", {}, pill(WORDS[decision.type] ?? decision.type), decision.reason ? ` ${decision.reason}` : "") },
  { name: "With", cell: ({ call, decision }) => (decision.fields ? (decision.fields.length ? `${decision.fields.join(", ")} (values are not kept here)` : "") : call?.arguments ? el("code.small", {}, pairs(decision.after ?? call.arguments)) : "") },
  { name: "By", cell: ({ decision }) => decision.by },
  { name: "When", cell: ({ decision, ended_at: ended }) => (decision.at || ended ? time(decision.at ?? ended) : "") },
  { name: "Conversation", cell: link },
];

async function showDecided() {
  try {
    const rows = await get("/questions", { status: "decided", limit: 100 });
    put(decided, rows.length ? table(COLUMNS, rows, "What was decided") : empty("Nothing was decided yet"));
  } catch (problem) {
    put(decided, failure(problem, showDecided));
  }
}

function history() {
  showDecided();
  return decided;
}

put(find("#questions"), tabs([{ name: "Waiting", content: waiting }, { name: "Decided", content: history }], "Questions"));
onQuestions(showWaiting);
showWaiting();
