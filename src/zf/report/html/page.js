"use strict";
// What the page has beyond reading: whole logs, a filter, sorting, links to a line. Text of a log only
// ever becomes text nodes.
(() => {
const one = (selector, under = document) => under.querySelector(selector);
const all = (selector, under = document) => [...under.querySelectorAll(selector)];
const make = (name, text, className) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const plural = (number, noun) => `${number.toLocaleString("en").replaceAll(",", " ")} ${noun}${number === 1 ? "" : "s"}`;

// --- a line of a log: the same that terminal.py makes of it ---

const SGR = /\x1b\[([0-9;:]{0,64})m/g;
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;
const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const shown = (char) => {
  const code = char.codePointAt(0), hex = code.toString(16);
  return SHORT[char] ?? (code < 0x100 ? `\\x${hex.padStart(2, "0")}`
    : code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`);
};
const printable = (text) => text.replace(HIDDEN, shown);

const nearest = (...rgb) => {
  const most = Math.max(...rgb), half = Math.floor(Math.max(most, 1) / 2);
  return most < 64 ? 0 : rgb.reduce((sum, value, bit) => sum | (value > half) << bit, 0);
};
const ofMany = (numbers) => {
  const kind = numbers.shift() ?? 0;
  if (kind === 5 && numbers.length) {
    const number = numbers.shift();
    if (number < 16) return number % 8;
    if (number > 231) return nearest(...Array(3).fill(8 + 10 * (number - 232)));
    return nearest(...[36, 6, 1].map((step) => 51 * (Math.floor((number - 16) / step) % 6)));
  }
  return kind === 2 && numbers.length >= 3 ? nearest(...numbers.splice(0, 3)) : null;
};
const SWITCHES = { 1: "tb", 2: "tf", 3: "ti", 4: "tu", 23: "ti", 24: "tu" };
const changed = (look, parameters) => {
  const numbers = parameters.split(/[;:]/).map(Number);
  const next = { ...look };
  while (numbers.length) {
    const number = numbers.shift();
    const tens = Math.floor(number / 10);
    if (number === 0) for (const name of Object.keys(next)) delete next[name];
    else if (number === 22) { delete next.tb; delete next.tf; }
    else if (number === 38) next.t = ofMany(numbers);
    else if (number === 48) next.g = ofMany(numbers);
    else if (number === 39) delete next.t;
    else if (number === 49) delete next.g;
    else if (number in SWITCHES) { if (number < 20) next[SWITCHES[number]] = true; else delete next[SWITCHES[number]]; }
    else if ((tens === 3 || tens === 9) && number % 10 < 8) next.t = number % 10;
    else if ((tens === 4 || tens === 10) && number % 10 < 8) next.g = number % 10;
  }
  return next;
};
const classes = (look) => Object.entries(look)
  .filter(([, value]) => value !== null)
  .map(([name, value]) => value === true ? name : name + value)
  .join(" ");

const tabbed = (text, column) => {
  if (!text.includes("\t")) return text;
  let done = "", at = column;
  for (const char of text) {
    const add = char === "\t" ? " ".repeat(8 - at % 8) : char;
    done += add;
    at += char === "\t" ? add.length : 1;
  }
  return done;
};

/** Puts a line into an element; returns how the text after it looks. */
const draw = (into, text, look) => {
  let column = 0;
  for (const [index, part] of text.replace(/[\r\n]+$/, "").split(SGR).entries()) {
    if (index % 2) { look = changed(look, part); continue; }
    if (!part) continue;
    const wide = tabbed(part, column);
    column += [...wide].length;
    const seen = printable(wide), style = classes(look);
    into.append(style ? make("span", seen, style) : seen);
  }
  return look;
};
// --- the logs that are packed into the page ---

const { logs, first } = JSON.parse(one("#index").textContent);
const rowsOf = (task) => Object.hasOwn(logs, task) ? logs[task] : [];
const packs = new Map();
const unpacked = async (number) => {
  if (!packs.has(number)) {
    if (packs.size > 3) packs.delete(packs.keys().next().value);
    const packed = Uint8Array.from(atob(one(`#pack-${number}`).textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    packs.set(number, new Response(stream).arrayBuffer().then((buffer) => new Uint8Array(buffer)));
  }
  return packs.get(number);
};

// --- the log over the page: only the lines in sight are in the document ---

const HEIGHT = 20, MARGIN = 30, MOST_HEIGHT = 8_000_000, MOST_CHARS = 2000, MORE_CHARS = 50_000, LOOK_BACK = 200;
const dialog = one("dialog"), view = one(".lines"), sheet = one(".lines > div");
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const log = { task: "", rows: [], row: null, bytes: new Uint8Array(), starts: new Uint32Array(1), count: 0, at: 0, hits: [], wide: new Map() };

const lineStarts = (bytes) => {
  let count = 1;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count += 1;
  const starts = new Uint32Array(count + 1);
  let line = 1;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) starts[line++] = at + 1;
  starts[count] = bytes.length;
  // What ends in a newline has no line after it.
  return [starts, starts[count - 1] === bytes.length ? count - 1 : count];
};
const bytesOf = (number) => log.bytes.subarray(log.starts[number], log.starts[number + 1]);
const textOf = (number) => decoder.decode(bytesOf(number)).replace(/\n$/, "");

const height = () => Math.min(log.count * HEIGHT, MOST_HEIGHT);
const spare = () => Math.max(1, height() - view.clientHeight);
/** The first line in sight; in a log of millions of lines a pixel stands for several. */
const top = () => log.count * HEIGHT <= MOST_HEIGHT ? Math.floor(view.scrollTop / HEIGHT)
  : Math.round(view.scrollTop / spare() * (log.count - view.clientHeight / HEIGHT));

const redraw = () => {
  const start = Math.max(0, top()), room = Math.ceil(view.clientHeight / HEIGHT);
  const begin = Math.max(0, start - MARGIN), end = Math.min(log.count, start + room + MARGIN);
  const offset = log.count * HEIGHT <= MOST_HEIGHT ? 0 : view.scrollTop - start * HEIGHT;
  let look = {};
  for (let number = Math.max(0, begin - LOOK_BACK); number < begin; number += 1) {
    if (bytesOf(number).includes(27)) look = draw(make("p"), textOf(number).slice(0, MOST_CHARS), look);
  }
  const lines = [];
  for (let number = begin; number < end; number += 1) {
    const line = make("p"), text = textOf(number), most = log.wide.get(number) ?? MOST_CHARS;
    line.style.top = `${number * HEIGHT + offset}px`;
    if (number + 1 === log.at) line.className = "at";
    else if (log.hits.includes(number)) line.className = "hit";
    const label = make("span", String(number + 1), "n");
    label.dataset.line = number + 1;
    const body = document.createElement("bdi");
    look = draw(body, text.slice(0, most), look);
    line.append(label, body);
    if (text.length > most) {
      const more = make("button", ` ${plural(text.length - most, "more character")}`);
      more.type = "button";
      more.dataset.more = number;
      line.append(more);
    }
    lines.push(line);
  }
  sheet.replaceChildren(...lines);
};
let waiting = false;
const soon = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; redraw(); });
};
view.addEventListener("scroll", soon, { passive: true });
addEventListener("resize", () => dialog.open && soon());

const go = (line) => {
  log.at = line;
  sheet.style.height = `${height()}px`;
  const middle = Math.max(0, line - Math.floor(view.clientHeight / HEIGHT / 2));
  view.scrollTop = log.count * HEIGHT <= MOST_HEIGHT ? middle * HEIGHT : middle / log.count * spare();
  redraw();
};

const nameOf = ([attempt, command], rows) => {
  const [kind, number] = command.split("-");
  const again = rows.some(([other]) => other !== attempt) ? `attempt ${attempt}, ` : "";
  return `${again}${kind} ${number}`;
};
const address = () => {
  const [attempt, command] = log.row, newest = Math.max(...log.rows.map(([other]) => other));
  const parts = { task: log.task, step: command.replace(/^step-/, "") };
  if (attempt !== newest) parts.attempt = attempt;
  if (log.at) parts.line = log.at;
  return `#${new URLSearchParams(parts)}`;
};

const open = async (task, choose, line) => {
  const rows = [...rowsOf(task)].sort((a, b) => a[0] - b[0]);
  Object.assign(log, { task, rows, hits: [], wide: new Map(), at: 0, row: rows.find(choose) ?? rows.at(-1) });
  one("#log-name").textContent = task;
  one("#which").replaceChildren(...rows.map((row) => {
    const option = make("option", nameOf(row, rows));
    option.selected = row === log.row;
    return option;
  }));
  one("#which").hidden = rows.length === 0;
  one("#find output").textContent = "";
  log.bytes = new Uint8Array();
  if (log.row) {
    const [, , pack, from, size] = log.row;
    log.bytes = (await unpacked(pack)).subarray(from, from + size);
  }
  [log.starts, log.count] = lineStarts(log.bytes);
  if (!dialog.open) dialog.showModal();
  if (log.row) {
    go(Math.min(line || log.count, log.count));
    if (!line) log.at = 0;
    redraw();
  } else {
    sheet.replaceChildren(make("p", "No log of this task is in this page.", "meta"));
  }
  view.focus();
};

one("#which").addEventListener("change", (event) => {
  const row = log.rows[event.target.selectedIndex];
  open(log.task, (other) => other === row, 0);
});
one("#close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  log.bytes = new Uint8Array();
  sheet.replaceChildren();
  if (location.hash.startsWith("#task=")) history.replaceState(null, "", "#tasks");
});
view.addEventListener("click", (event) => {
  const { line, more } = event.target.dataset;
  if (more) log.wide.set(Number(more), (log.wide.get(Number(more)) ?? MOST_CHARS) + MORE_CHARS);
  if (line) {
    log.at = Number(line);
    history.replaceState(null, "", address());
  }
  if (more || line) redraw();
});

// Finding: a part of the log at a time, so that the page goes on answering.
let search = 0;
const find = async (text) => {
  const mine = ++search, hits = [], wanted = text.toLowerCase(), told = one("#find output");
  log.hits = hits;
  for (let number = 0; wanted && number < log.count && hits.length < 10_000; number += 1) {
    if (textOf(number).toLowerCase().includes(wanted)) hits.push(number);
    if (number % 20_000 === 19_999) {
      told.textContent = `${hits.length} ...`;
      await new Promise((done) => setTimeout(done));
      if (mine !== search) return;
    }
  }
  const next = hits.find((number) => number + 1 >= log.at) ?? hits[0];
  told.textContent = wanted ? (hits.length ? "" : "none") : "";
  if (next === undefined) redraw();
  else step(hits.indexOf(next));
};
const step = (index) => {
  const number = log.hits[index];
  one("#find output").textContent = `${index + 1} of ${log.hits.length}`;
  go(number + 1);
};
const near = (direction) => {
  if (!log.hits.length) return;
  const now = log.hits.indexOf(log.at - 1);
  step((now + direction + log.hits.length) % log.hits.length);
};
let typed = 0;
one("#find input").addEventListener("input", (event) => {
  clearTimeout(typed);
  typed = setTimeout(() => find(event.target.value), 200);
});
one("#find").addEventListener("submit", (event) => { event.preventDefault(); near(1); });
one("#back").addEventListener("click", () => near(-1));

// --- the ways to a log ---

for (const button of all("button[data-task]")) {
  const { task, attempt, command, line } = button.dataset;
  const is = (row) => row[0] === Number(attempt) && row[1] === command;
  button.hidden = !rowsOf(task).some(is);
  button.addEventListener("click", () => open(task, is, Number(line)));
}
const follow = () => {
  const parts = new URLSearchParams(location.hash.slice(1)), task = parts.get("task");
  if (!task) return;
  const wanted = parts.get("step") ?? "", attempt = Number(parts.get("attempt"));
  const command = /^\d+$/.test(wanted) ? `step-${wanted}` : wanted;
  const newest = Math.max(...rowsOf(task).map(([number]) => number));
  open(task, (row) => row[1] === command && row[0] === (attempt || newest), Number(parts.get("line")));
};
addEventListener("hashchange", follow);

const table = one("#all"), body = one("tbody", table);
body.addEventListener("click", (event) => {
  const link = event.target.closest("tbody th a");
  const task = link?.closest("tr").id.slice("task-".length);
  if (!task || !Object.hasOwn(logs, task)) return;
  event.preventDefault();
  open(task, () => false, 0);
});

// --- the table of all tasks: filtered and sorted ---

const rows = [...body.rows], texts = new Map();
const textOfRow = (row) => texts.get(row) ?? texts.set(row, row.textContent.toLowerCase()).get(row);
const filter = () => {
  const words = one("#filter").value.toLowerCase().split(/\s+/).filter(Boolean), state = one("#state").value;
  let count = 0;
  for (const row of rows) {
    const fits = (!state || one(`.s.${state}`, row.cells[1])) && words.every((word) => textOfRow(row).includes(word));
    row.hidden = !fits;
    count += Boolean(fits);
  }
  one("#shown").textContent = count === rows.length ? "" : `${count} of ${plural(rows.length, "task")}`;
};
one("#filter").addEventListener("input", filter);
one("#state").addEventListener("change", filter);

const order = new Intl.Collator("en", { numeric: true });
const sort = (column) => {
  const head = table.tHead.rows[0].cells[column], down = head.getAttribute("aria-sort") === "ascending";
  const value = ({ cells }) => cells[column].dataset.v, sign = down ? -1 : 1;
  const keyed = rows.map((row) => [row, value(row) === undefined ? row.cells[column].textContent : Number(value(row))]);
  keyed.sort(([, a], [, b]) => sign * (typeof a === "number" ? a - b : order.compare(a, b)));
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...keyed.map(([row]) => row));
};
for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
  const button = make("button", head.textContent);
  button.type = "button";
  button.addEventListener("click", () => sort(column));
  head.replaceChildren(button);
}
one(".tools").hidden = rows.length < 8;

// A graph that is wider than the page begins at what failed.
for (const graph of all(".graph")) {
  const failed = one(".box.failure, .box.timeout, .box.lost", graph);
  if (failed) graph.scrollLeft = failed.getBoundingClientRect().right - graph.getBoundingClientRect().left - graph.clientWidth / 2;
}

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  event.preventDefault();
  one(dialog.open ? "#find input" : "#filter").focus();
});
addEventListener("beforeprint", () => all("details").forEach((fold) => { fold.open = true; }));
follow();
})();
