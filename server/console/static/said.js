// What pages call things: one word for a status wherever it stands, and how conversations are told apart.

const WORDS = { idle: "quiet", cancelled: "stopped" };

/** The word for the status of a thread or a run: "waiting" where it waits for a person. */
export function wordOf({ status, reason = null, waiting = null }) {
  // Of a thread its questions say so, of a run its reason; one that was stopped by a shutdown waits for nobody.
  const asks = waiting ? waiting.length > 0 : reason === "person";
  return status === "interrupted" && asks ? "waiting" : (WORDS[status] ?? status);
}

/**
 * Which branch of its conversation each thread is, where several here have one title.
 *
 * @param {{id: string, title: string, parent: string|null, created_at: string}[]} rows
 * @returns {Map<string, string>} By id: "branch 1", "branch 2", ... in the order in which they were made.
 */
export function branches(rows) {
  const found = new Map();
  const numbers = new Map();
  const made = rows.filter((row) => row.parent).sort((one, other) => one.created_at.localeCompare(other.created_at));
  for (const { id, title } of made) {
    const number = (numbers.get(title) ?? 0) + 1;
    numbers.set(title, number);
    found.set(id, `branch ${number}`);
  }
  return found;
}

const SIGNS = /[{}[\]"\\]+/g;

/** A piece of a found text for people: of JSON, such as tools give back, only the words. */
export function plain(piece, isJson) {
  if (!isJson) return piece;
  return piece.replace(/\\[nrt]/g, " ").replace(SIGNS, "").replace(/([:,])(?=\S)/g, "$1 ").replace(/ {2,}/g, " ");
}

/** Whether a found text is a piece of JSON. */
export const isJson = (snippet) => /^…?\s*[{[]/.test(snippet) || /"[^"]*"\s*:/.test(snippet) || /[}\]]\s*…?$/.test(snippet);
