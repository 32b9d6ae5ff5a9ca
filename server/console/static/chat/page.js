// The chat: which conversation is open, its turns, and the run that goes on in it, whoever has begun it.
import { asked, base, get, patch, post, remove } from "../api.js";
import { button, el, find, put } from "../dom.js";
import { follow } from "../stream.js";
import { confirmed, dialog, failure, loading, pill, report } from "../ui.js";
import { Composer } from "./composer.js";
import { ThreadList } from "./threads.js";
import { Turn } from "./turn.js";

const LOOK_MS = 2500;
const PAGE = 60;
const HINTS = ["How do I add a tool?", "What is 12.5 % of 840?", "What time is it in Tokyo?"];

const view = find("#transcript");
const head = find("#head");
const threads = new ThreadList((id) => open(id));
const composer = new Composer((said) => say(said));

let thread = null;
let turns = [];
let older = null;
let live = null;
let looking = new AbortController();

const path = (id, rest = "") => `/threads/${encodeURIComponent(id)}${rest}`;
const does = { edit: branch, retry: (turn) => branch(turn, turn.text), answered: (turn) => attach(turn.run, turn) };

/** Show a conversation; null for a new one. */
async function open(id, { push = true } = {}) {
  looking.abort();
  looking = new AbortController();
  live = null;
  composer.working(false);
  thread = id;
  turns = [];
  older = null;
  find(".chat").classList.remove("choosing");
  if (push) history.pushState({}, "", id ? `${base}/?thread=${encodeURIComponent(id)}` : `${base}/`);
  threads.mark(id);
  if (!id) return welcome();
  put(view, loading());
  try {
    await Promise.all([showHead(), latest().then(reload)]);
    await look();
  } catch (problem) {
    if (thread === id) put(view, failure(problem, () => open(id, { push: false })));
  }
}

function welcome() {
  document.title = "Chat · Waystation";
  put(head, back(), el("div.names", {}, el("h1.unseen", {}, "New conversation")));
  const hints = HINTS.map((text) => el("li", {}, button(text, { onclick: () => say({ message: text, files: [], configurable: composer.configurable() }) })));
  put(view, el("div.welcome", {}, el("h2", {}, "What would you like to know?"), el("p", {}, "Answers quote the documents they come from, and show each tool that was used."), el("ul.plain", {}, hints)));
  composer.box.focus();
}

const back = () => button("", { icon: "menu", label: "Conversations", kind: "quiet back", onclick: () => find(".chat").classList.add("choosing") });

async function showHead() {
  const id = thread;
  const found = await get(path(id));
  if (thread !== id) return found;
  const title = found.title || "Without a title";
  document.title = `${title} · Waystation`;
  const tags = found.tags.map((tag) => button(`#${tag}`, { kind: "quiet tiny", label: `Conversations with the tag ${tag}`, onclick: () => threads.byTag(tag) }));
  const parent = found.parent ? el("a.small", { href: `${base}/?thread=${encodeURIComponent(found.parent)}` }, "branch of another") : null;
  put(
    head,
    back(),
    el("div.names", {}, el("h1.one-line", {}, title), parent, tags, found.waiting.length ? pill("waiting") : null),
    button("", { icon: "edit", label: "Rename, and set tags", kind: "quiet", onclick: () => rename(found) }),
    button("", { icon: "download", label: "Download as Markdown", kind: "quiet", onclick: download }),
    button("", { icon: "trash", label: "Delete", kind: "quiet", onclick: drop }),
  );
  return found;
}

/** A page of the transcript, in front of what is shown. */
async function load(before = null) {
  const id = thread;
  const page = await get(path(id, "/transcript"), { limit: PAGE, before });
  if (thread !== id) return;
  const made = await Promise.all(grouped(page.messages).map(turnOf));
  if (thread !== id) return;
  const height = view.scrollHeight - view.scrollTop;
  turns = before ? [...made, ...turns] : made;
  older = page.before;
  draw();
  for (const turn of made) ending(turn).catch(() => {});
  view.scrollTop = before ? view.scrollHeight - height : view.scrollHeight;
}

/** How a turn ended that said nothing: the transcript has only what was said. */
async function ending(turn) {
  if (turn.texts.length || !turn.run) return;
  const run = await get(`/runs/${encodeURIComponent(turn.run)}`);
  if (run.status === "failed" && run.error) turn.on_error(run.error);
  if (run.status === "cancelled") turn.finish("Stopped");
}

function draw() {
  const more = older === null ? null : button("Earlier messages", { kind: "quiet wide", onclick: () => load(older).catch(report) });
  put(view, more, turns.map((turn) => turn.element));
}

/** Messages by the message of the user that they answer. */
function grouped(messages) {
  const found = [];
  for (const message of messages) {
    if (message.role === "user" || !found.length) found.push([]);
    found.at(-1).push(message);
  }
  return found;
}

async function turnOf(messages) {
  const [first, ...rest] = messages;
  const begins = first.role === "user";
  const turn = new Turn(begins ? first : { text: "", run_id: first.run_id }, does);
  turn.question.hidden = !begins;
  await turn.fromTranscript(begins ? rest : messages);
  turn.run = messages.at(-1).run_id ?? turn.run;
  return turn;
}

// Not randomUUID: browsers have it only where a page came by https or from their own machine.
const newId = () => `t_${[...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("")}`;

/** Say something, in a new conversation where none is open; true when the service has it. */
async function say({ message, files, configurable }) {
  const id = thread ?? newId();
  try {
    const run = await post(path(id, "/runs"), { input: { message, files: files.map((file) => file.key) }, configurable });
    if (thread !== id) {
      thread = id;
      turns = [];
      history.pushState({}, "", `${base}/?thread=${encodeURIComponent(id)}`);
    }
    const turn = new Turn({ text: message, files, run_id: run.run_id }, does);
    turns.push(turn);
    draw();
    attach(run.run_id, turn);
    threads.current = id;
    threads.load();
    showHead().catch(report);
    return true;
  } catch (problem) {
    report(problem);
    return false;
  }
}

/** Follow a run into its turn, to where it ends or waits. */
async function attach(run, turn) {
  const { signal } = looking;
  if (live?.run === run && live.going) return;
  live = { run, turn, going: true };
  composer.working(true);
  const mine = live;
  const stay = sticky();
  try {
    await follow(run, {
      after: turn.last,
      signal,
      onLine: (there) => (find("#cut").hidden = there || signal.aborted),
      onEvent: (event) => stay(() => turn.apply(event)),
    });
  } catch (problem) {
    report(problem);
  }
  mine.going = false;
  if (signal.aborted || live !== mine) return;
  composer.working(false);
  find("#said").textContent = turn.paused ? "A question waits for you." : "The answer is complete.";
  threads.load();
  await settle(turn).catch(report);
}

/** Ids that events do not tell: with them a message can be edited. */
async function settle(turn) {
  const [page] = await Promise.all([get(path(thread, "/transcript"), { limit: PAGE }), showHead()]);
  const said = page.messages.findLast((message) => message.role === "user" && message.run_id === turn.run);
  if (said && !turn.id) turn.said({ ...said, files: turn.files });
}

/** Keeps the end in sight while it grows, unless somebody reads further up. */
function sticky() {
  view.scrollTop = view.scrollHeight;
  return (change) => {
    const there = view.scrollHeight - view.scrollTop - view.clientHeight < 160;
    change();
    if (there) view.scrollTop = view.scrollHeight;
  };
}

const latest = async () => (await get(path(thread, "/runs"), { limit: 1 }))[0];
const isActive = (run) => run.status === "running" || run.status === "queued";
const turnOfRun = (run) => turns.findLast((turn) => turn.run === run.run_id);

/** The transcript anew. What a run that had ended before has said stands in it whole. */
async function reload(run) {
  await load();
  const turn = run && !isActive(run) && turnOfRun(run);
  if (turn) turn.whole = true;
}

/** What goes on in this conversation that did not begin here. */
async function look() {
  const id = thread;
  if (!id || live?.going || document.hidden) return;
  const run = await latest();
  if (thread !== id || live?.going || !run) return;
  const asks = run.status === "interrupted" && run.reason === "person";
  const shown = turnOfRun(run);
  if (!shown || (!isActive(run) && !asks && !shown.whole)) await reload(run);
  const turn = turnOfRun(run);
  if (!turn || live?.going || !(isActive(run) || (asks && !turn.paused))) return;
  if (!turn.last) turn.clear();
  attach(run.run_id, turn);
}

/** The same message again, or another in its place: a new conversation that goes on from before it. */
async function branch(turn, message) {
  if (!turn.id || !message.trim()) return;
  try {
    const files = turn.files.map((file) => (typeof file === "string" ? file : file.key));
    const made = await post(path(thread, "/edit"), { message_id: turn.id, message, files, configurable: composer.configurable() });
    await open(made.thread_id);
    threads.load();
  } catch (problem) {
    report(problem);
  }
}

async function rename({ title, tags }) {
  const name = el("input", { id: "rename-title", maxlength: 200 });
  const marks = el("input", { id: "rename-tags" });
  name.value = title;
  marks.value = tags.join(", ");
  const content = [
    el("div.field", {}, el("label", { for: name.id }, el("b", {}, "Title")), name),
    el("div.field", {}, el("label", { for: marks.id }, el("b", {}, "Tags, with commas between")), marks),
  ];
  const said = await dialog("Rename", content, [{ text: "Cancel", value: "" }, { text: "Save", value: "yes", kind: "primary" }]);
  if (said !== "yes") return;
  const given = marks.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  try {
    await patch(path(thread), { title: name.value, tags: given });
    await Promise.all([showHead(), threads.load()]);
  } catch (problem) {
    report(problem);
  }
}

async function download() {
  try {
    const answer = await asked("POST", path(thread, "/export"), { body: { format: "markdown" } });
    const address = URL.createObjectURL(await answer.blob());
    el("a", { href: address, download: `${thread}.md` }).click();
    URL.revokeObjectURL(address);
  } catch (problem) {
    report(problem);
  }
}

async function drop() {
  if (!(await confirmed("Delete this conversation?", "Its messages, runs and the files that tools made go with it. Files that you uploaded stay.", "Delete"))) return;
  try {
    await remove(path(thread));
    await open(null);
    threads.load();
  } catch (problem) {
    report(problem);
  }
}

find("#stop").addEventListener("click", () => live && post(`/runs/${encodeURIComponent(live.run)}/cancel`).catch(report));
find("#new").addEventListener("click", () => open(null));
window.addEventListener("popstate", () => open(new URLSearchParams(location.search).get("thread"), { push: false }));
setInterval(() => look().catch(() => {}), LOOK_MS);
threads.load();
open(new URLSearchParams(location.search).get("thread"), { push: false });
