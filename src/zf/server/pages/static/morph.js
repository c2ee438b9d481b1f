// A part of the page made equal to a newer one from the server, in place: what is the same stays the
// same element. Without `structural`, only texts and attributes change and nothing moves.

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName
  && (a.nodeType !== 1 || (a.dataset.key ?? a.id) === (b.dataset.key ?? b.id));

const attributes = (old, made) => {
  for (const { name, value } of [...made.attributes]) {
    // What a reader has opened stays open.
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !made.hasAttribute(name)) old.removeAttribute(name);
  }
};

const nodes = (element) => [...element.childNodes].filter((node) => node.nodeType === 1
  || (node.nodeType === 3 && node.data.trim()));

/** Makes `old` equal to `made`; returns whether something is left that would move the page. */
export const morph = (old, made, structural = true) => {
  let left = false;
  attributes(old, made);
  const before = nodes(old), after = nodes(made);
  const alike = before.length === after.length && before.every((node, place) => same(node, after[place]));
  if (!alike) {
    if (!structural) {
      // What is there in both is told anew where it stands.
      for (const node of before) {
        const now = node.dataset?.key ? after.find((other) => other.dataset?.key === node.dataset.key) : after[before.indexOf(node)];
        if (!now || !same(node, now)) continue;
        if (node.nodeType === 1) morph(node, now, false);
        else if (node.data !== now.data) node.data = now.data;
      }
      return true;
    }
    const byKey = new Map(before.filter((node) => node.dataset?.key).map((node) => [node.dataset.key, node]));
    old.replaceChildren(...after.map((node, place) => {
      const kept = byKey.get(node.dataset?.key) ?? (before[place] && !before[place].dataset?.key && same(before[place], node) ? before[place] : null);
      if (!kept) return document.importNode(node, true);
      if (kept.nodeType === 1) morph(kept, node, true);
      else if (kept.data !== node.data) kept.data = node.data;
      return kept;
    }));
    return false;
  }
  for (const [place, node] of before.entries()) {
    const now = after[place];
    if (node.nodeType === 3) {
      if (node.data !== now.data) node.data = now.data;
    } else left = morph(node, now, structural) || left;
  }
  return left;
};

/** A part of a page that the server sends, parsed but not shown. */
export const fetched = async (address) => {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
};
