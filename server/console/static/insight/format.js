// Numbers as people read them.

const plain = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1,234; from 100,000 on 123K. */
export const count = (number) => (Math.abs(number) >= 100_000 ? short : plain).format(number ?? 0);

/** A sum of money in the currency of models.yaml; "–" where no price is known. */
export function money(cost) {
  if (cost === null || cost === undefined) return "–";
  if (cost === 0) return "0";
  return cost < 0.01 ? cost.toPrecision(2) : cost.toFixed(cost < 10 ? 3 : 2);
}

const whole = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });

/** A time of day with its date and zone, which is that of this browser. */
export const moment = (iso) => (iso ? whole.format(new Date(iso)) : "");

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** The time of day alone, with its thousandths: for rows that follow each other quickly. */
export const instant = (iso) => (iso ? clock.format(new Date(iso)) : "");

/** 1 turn, 2 turns. */
export const many = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** What stands in an object, in one line of words. */
export const pairs = (given) =>
  Object.entries(given ?? {})
    .filter(([, value]) => value !== "" && value !== null)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");

/** A text of at most so many characters. */
export const cut = (text, most = 90) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** What stands in the query of this page's address. */
export const asked = (name) => new URLSearchParams(location.search).get(name) ?? "";

/** This page with another query, which the browser's way back knows. */
export function query(values, { replace = false } = {}) {
  const found = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) value ? found.set(name, value) : found.delete(name);
  const words = found.toString();
  const here = location.pathname + (words ? `?${words}` : "");
  history[replace ? "replaceState" : "pushState"](null, "", here);
}
