// The page of a run that goes on. What changed is asked of the server when an event has come; what
// would move waits for as long as the pointer or the focus is at it or below it.
import { fetched, morph } from "./morph.js";

const one = (selector, under = document) => under.querySelector(selector);
const head = one("[data-live]");
const { live, events } = head.dataset;
const SILENT_MS = 45_000, SOON_MS = 300, AGAIN_MS = 2000;
let { after } = head.dataset;
let pointer = null, heard = Date.now(), waiting = null, over = false, asking = false, held = false;

const note = (text, bad = false) => {
  const place = one("[data-note]");
  if (!place) return;
  if (text) place.textContent = text;
  place.classList.toggle("bad", bad);
};

// --- what is held in place ---

addEventListener("pointermove", (event) => { pointer = event.target; }, { passive: true });
document.documentElement.addEventListener("pointerleave", () => { pointer = null; release(); });
const isHeld = (part) => {
  const focus = document.activeElement === document.body || document.activeElement?.id === "main" ? null : document.activeElement;
  return [pointer, focus].some((at) => at?.isConnected && one("main").contains(at)
    && (part.contains(at) || part.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_FOLLOWING));
};
let release = () => {};

const take = (made) => {
  let left = false;
  for (const part of made.querySelectorAll("[data-part]")) {
    const old = one(`main [data-part=${part.dataset.part}]`);
    if (!old) continue;
    for (const { name, value } of old.attributes) if (!part.hasAttribute(name)) part.setAttribute(name, value);
    left = morph(old, part, !isHeld(old)) || left;
  }
  held = left;
  return made.querySelector("[data-state]")?.dataset.state === "alive";
};

// --- what is asked, and when ---

const finish = async () => {
  over = true;
  source?.close();
  clearInterval(ticking);
  const made = await fetched(location.href);
  document.title = made.title;
  const put = () => {
    document.removeEventListener("pointermove", put);
    // Where the page stands is kept: what is above may be longer now.
    const top = scrollY;
    one("main").replaceChildren(...[...one("main", made).childNodes].map((node) => document.importNode(node, true)));
    scrollTo(0, top);
  };
  if (pointer && one("main").contains(pointer) && !pointer.closest(".board")) {
    note("It is over. The page is renewed once the pointer moves.");
    setTimeout(() => addEventListener("pointermove", put, { once: true }), 500);
  } else put();
};
const look = async () => {
  if (asking || over) return;
  asking = true;
  try {
    if (!take(await fetched(live))) await finish();
  } catch { /* the server is not there: the stream says so */ } finally { asking = false; }
};
const soon = () => {
  waiting ??= setTimeout(() => { waiting = null; look(); }, SOON_MS);
};
release = () => { if (held) soon(); };
document.addEventListener("asked", soon);

// --- the stream ---

let source = null;
const listen = () => {
  source = new EventSource(`${events}?after=${after}`);
  const came = () => { heard = Date.now(); note("", false); };
  source.onopen = came;
  source.onmessage = ({ lastEventId }) => { after = lastEventId; came(); soon(); };
  source.addEventListener("heartbeat", came);
  source.addEventListener("end", () => { came(); source.close(); look(); });
  source.onerror = () => note("The connection is lost; the page tries again.", true);
};
listen();

// --- clocks, and what tasks print meanwhile ---

const words = (seconds) => seconds < 60 ? `${Math.floor(seconds)}s`
  : seconds < 3600 ? `${Math.floor(seconds / 60)}m ${String(Math.floor(seconds % 60)).padStart(2, "0")}s`
    : `${Math.floor(seconds / 3600)}h ${String(Math.floor(seconds % 3600 / 60)).padStart(2, "0")}m`;
let tick = 0;
const ticking = setInterval(() => {
  for (const cell of document.querySelectorAll("[data-for]")) {
    const now = Number(cell.dataset.for) + 1;
    cell.dataset.for = now;
    cell.textContent = words(now);
  }
  tick += 1;
  if (document.hidden) return;
  if (tick * 1000 % AGAIN_MS === 0) look();
  if (Date.now() - heard > SILENT_MS) {
    heard = Date.now();
    note("Nothing was heard for 45 s: this is what the server has now.", true);
    source.close();
    listen();
    look();
  }
}, 1000);
document.addEventListener("visibilitychange", () => document.hidden || look());
