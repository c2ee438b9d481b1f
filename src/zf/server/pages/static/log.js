// A log, of which the page never holds more than 5 000 lines: windows of it come from the server as
// it is scrolled, its end is followed, and what is selected can be copied beyond what is held.
import { fetched } from "./morph.js";
import { say } from "./app.js";

const one = (selector, under = document) => under.querySelector(selector);
const view = one("#log"), told = one("#logtold"), follow = one("#follow"), copy = one("#copy");
const { lines: address, text: plain, found: finding, attempt, here } = view.dataset;
const LINE = 20, MOST = 5000, PART = 500, TALLEST = 8_000_000;
const query = () => one("#logsearch [name=q]").value;
const state = { first: 1, last: 0, total: 0, busy: false, from: 0, to: 0, at: Number(view.dataset.at) || 0 };

const plural = (number, noun) => `${number.toLocaleString("en").replaceAll(",", " ")} ${noun}${number === 1 ? "" : "s"}`;
const asked = (base, more) => {
  const parts = new URLSearchParams(more);
  if (attempt) parts.set("attempt", attempt);
  return `${base}?${parts}`;
};

// --- the lines that are held, between two spaces that stand for the others ---

const above = document.createElement("div"), below = document.createElement("div");
let list = one("ol", view);
above.setAttribute("aria-hidden", "true");
below.setAttribute("aria-hidden", "true");
// What a line that is not held takes: in a log of millions of lines a pixel stands for several.
const scale = () => Math.min(LINE, TALLEST / Math.max(1, state.total));
const measure = () => {
  above.style.height = `${(state.first - 1) * scale()}px`;
  below.style.height = `${Math.max(0, state.total - state.last) * scale()}px`;
  if (state.total || state.last) told.textContent = plural(state.total, "line");
  mark();
};
const mark = () => {
  const [from, to] = [Math.min(state.from, state.to), Math.max(state.from, state.to)];
  for (const [place, line] of [...list.children].entries()) {
    const number = state.first + place;
    line.classList.toggle("at", from ? number >= from && number <= to : number === state.at);
  }
  copy.hidden = !from || from === to;
  copy.textContent = `copy ${plural(to - from + 1, "line")}`;
};

const part = async (first, count) => {
  const more = { first: Math.max(1, first), count };
  if (query()) more.q = query();
  const made = one("ol", await fetched(asked(address, more)));
  state.total = Number(made.dataset.total);
  return made;
};
const import_ = (made) => [...made.children].map((line) => document.importNode(line, true));

// What was scrolled meanwhile is looked at when a window has come.
const ready = () => {
  state.busy = false;
  requestAnimationFrame(scrolled);
};

/** Holds a window around a line, and shows that in the middle. */
const show = async (line, middle = true) => {
  state.busy = true;
  try {
    const made = await part(Math.max(1, line - PART), 2 * PART);
    list.replaceChildren(...import_(made));
    state.first = Number(made.dataset.first) || 1;
    state.last = state.first + list.children.length - 1;
    measure();
    const offset = above.offsetHeight + (Math.min(line, state.last) - state.first) * LINE;
    view.scrollTop = Math.max(0, offset - (middle ? view.clientHeight / 2 : 0));
  } finally { ready(); }
};
const toEnd = async () => {
  const made = await part(1, 0);
  await show(Number(made.dataset.total), false);
  view.scrollTop = view.scrollHeight;
};

const drop = (count, top) => {
  for (const line of [...list.children].slice(top ? 0 : -count, top ? count : undefined)) line.remove();
  if (top) {
    state.first += count;
    view.scrollTop += count * (scale() - LINE);
  } else state.last -= count;
};
const grow = async (down) => {
  state.busy = true;
  try {
    keepSelection();
    if (down) {
      const made = await part(state.last + 1, PART), lines = Number(made.dataset.first) === state.last + 1 ? import_(made) : [];
      list.append(...lines);
      state.last += lines.length;
      if (list.children.length > MOST) drop(list.children.length - MOST, true);
    } else {
      const first = Math.max(1, state.first - PART), lines = import_(await part(first, state.first - first));
      list.prepend(...lines);
      state.first -= lines.length;
      view.scrollTop += lines.length * (LINE - scale());
      if (list.children.length > MOST) drop(list.children.length - MOST, false);
    }
    measure();
  } finally { ready(); }
};

async function scrolled() {
  if (state.busy || !state.total) return;
  const top = above.offsetHeight, held = list.children.length * LINE, at = view.scrollTop, room = view.clientHeight;
  const bottom = top + held;
  if (at + room < top - room) await show(Math.max(1, Math.round(at / scale())));
  else if (at > bottom + room) await show(state.last + Math.round((at - bottom) / scale()));
  else if (at < top + 2 * room && state.first > 1) await grow(false);
  else if (at + room > bottom - 2 * room && state.last < state.total) await grow(true);
}
let soon = 0;
view.addEventListener("scroll", () => {
  if (follow?.checked && view.scrollTop + view.clientHeight < view.scrollHeight - 3 * LINE && !state.busy) follow.checked = false;
  cancelAnimationFrame(soon);
  soon = requestAnimationFrame(scrolled);
}, { passive: true });

// --- its end, while it grows ---

const again = async () => {
  if (document.hidden || state.busy) return;
  const before = state.total;
  const made = await part(state.last + 1, follow.checked ? PART : 0).catch(() => null);
  if (!made) return;
  if (follow.checked && state.total > state.last) {
    if (state.total - state.last > MOST) await show(state.total, false);
    else while (state.last < state.total) await grow(true);
    view.scrollTop = view.scrollHeight;
  } else if (state.total !== before) measure();
};
if ("grows" in view.dataset) {
  let quiet = 0;
  const timer = setInterval(async () => {
    const before = state.total;
    await again();
    quiet = state.total === before ? quiet + 1 : 0;
    // A log that is quiet may have ended: the page is asked whether it still grows.
    if (quiet && quiet % 5 === 0) {
      const page = await fetched(location.href).catch(() => null);
      if (page && !("grows" in (one("#log", page)?.dataset ?? {}))) {
        clearInterval(timer);
        await again();
        follow.parentElement.remove();
        one("h1").replaceWith(document.importNode(one("h1", page), true));
      }
    }
  }, 1000);
  follow.addEventListener("change", () => { if (follow.checked) toEnd(); });
}

// --- lines by number, selected and copied ---

const numberOf = (node) => {
  const line = node?.nodeType === 1 ? node.closest("li") : node?.parentElement?.closest("li");
  return line && list.contains(line) ? state.first + [...list.children].indexOf(line) : 0;
};
// The ends of a selection that is dragged over windows: what is no longer held is known by number.
const chosen = { from: 0, to: 0, beyond: false };
const keepSelection = () => {
  const selection = getSelection();
  if (selection.isCollapsed) return;
  const from = numberOf(selection.anchorNode), to = numberOf(selection.focusNode);
  if (from && !chosen.beyond) chosen.from = from;
  if (to) chosen.to = to;
};
document.addEventListener("selectionchange", () => {
  const selection = getSelection();
  if (selection.isCollapsed) { Object.assign(chosen, { from: 0, to: 0, beyond: false }); return; }
  const from = numberOf(selection.anchorNode), to = numberOf(selection.focusNode);
  if (from && !chosen.beyond) chosen.from = from;
  if (to) chosen.to = to;
  if (!from && chosen.from) chosen.beyond = true;
});
const wholeLines = async (from, to) => {
  const [first, last] = [Math.min(from, to), Math.max(from, to)];
  const answer = await fetch(asked(plain, { first, last }));
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the server answered ${answer.status}`);
  return answer.text();
};
const toClipboard = async (from, to) => {
  try {
    const text = wholeLines(from, to);
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": text.then((said) => new Blob([said], { type: "text/plain" })) })]);
    say(`${plural(Math.abs(to - from) + 1, "line")} copied.`);
  } catch (error) { say(`Copying: ${error.message}`, true); }
};
document.addEventListener("copy", (event) => {
  if (chosen.beyond && chosen.from && chosen.to) {
    event.preventDefault();
    toClipboard(chosen.from, chosen.to);
  } else if (getSelection().isCollapsed && state.from && state.to !== state.from) {
    event.preventDefault();
    toClipboard(state.from, state.to);
  }
});
copy.addEventListener("click", () => toClipboard(state.from, state.to));
view.addEventListener("click", (event) => {
  const link = event.target.closest("li > a");
  if (!link) return;
  event.preventDefault();
  const number = numberOf(link);
  if (event.shiftKey && state.from) state.to = number;
  else state.from = state.to = number;
  state.at = number;
  const where = new URL(here, location.href);
  where.searchParams.set("line", Math.min(state.from, state.to));
  if (query()) where.searchParams.set("q", query());
  history.replaceState(null, "", where);
  mark();
});

// --- ways to a line ---

one("#logline").addEventListener("submit", (event) => {
  event.preventDefault();
  const line = Number(event.target.elements.line.value);
  if (!line) return;
  Object.assign(state, { at: line, from: 0, to: 0 });
  show(line);
});
document.addEventListener("click", (event) => {
  const go = event.target.closest("[data-go]"), hit = event.target.closest("[data-line]"), more = event.target.closest("[data-more]");
  if (go) {
    event.preventDefault();
    if (follow && go.dataset.go === "1") follow.checked = false;
    if (go.dataset.go === "1") show(1, false);
    else toEnd();
  } else if (hit) {
    event.preventDefault();
    Object.assign(state, { at: Number(hit.dataset.line), from: 0, to: 0 });
    if (follow) follow.checked = false;
    show(state.at);
  } else if (more) {
    event.preventDefault();
    search(more.href, false);
  }
});

// --- a text, looked for on the server ---

const hits = one("#hits");
const search = async (where, anew) => {
  say("");
  try {
    const made = (await fetched(where)).body;
    if (anew) hits.replaceChildren();
    one("[data-more]", hits)?.parentElement.remove();
    const known = one(".hits", hits), fresh = one(".hits", made);
    if (known && fresh) {
      known.append(...import_(fresh));
      fresh.remove();
    }
    if (known) one("p.meta", made)?.classList.contains("none");
    hits.append(...[...made.childNodes].map((node) => document.importNode(node, true)));
    const first = one("[data-line]", hits);
    if (anew && first) { state.at = Number(first.dataset.line); if (follow) follow.checked = false; }
    if (anew) await show(first ? state.at : state.first);
  } catch (error) { say(`Searching: ${error.message}`, true); }
};
one("#logsearch").addEventListener("submit", (event) => {
  event.preventDefault();
  const where = new URL(here, location.href);
  if (query()) where.searchParams.set("q", query());
  history.replaceState(null, "", where);
  if (query()) search(asked(finding, { q: query() }), true);
  else { hits.replaceChildren(); show(state.at || state.first); }
});
addEventListener("keydown", (event) => {
  if (event.key !== "f" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || !("grows" in view.dataset)) return;
  follow.checked = !follow.checked;
  if (follow.checked) toEnd();
});

// --- what is on the page at first ---

const begin = async () => {
  view.prepend(above);
  view.append(below);
  state.first = Number(list.dataset.first) || 0;
  state.total = Number(list.dataset.total) || 0;
  if (!state.first && list.children.length) {
    // The end of a log that was never counted: its numbers come now.
    await toEnd();
    return;
  }
  state.first ||= 1;
  state.last = state.first + list.children.length - 1;
  measure();
  if (state.at) view.scrollTop = above.offsetHeight + (state.at - state.first) * LINE - view.clientHeight / 2;
  else view.scrollTop = view.scrollHeight;
};
begin();
