// Tables with a name (data-table): sort by a header, filter rows, choose columns, save what is shown as CSV.
// A refreshed table is arranged before it is morphed into the page, so that the rows of a live table do not jump.
(() => {
  "use strict";
  const STORED = "table.";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const words = (node) => node.textContent.replace(/\s+/g, " ").trim();
  const lower = (cell) => cell.querySelector(":scope > .sub, :scope > small");
  const named = (name) => document.querySelector(`table[data-table="${name}"]`);
  const heads = (table) => [...table.tHead.rows[0].cells];
  const arrangements = new Map();

  /** How the reader wants a table: `sort` is {label, isLower, isDown}; `hidden` are labels of columns; `text` filters rows. */
  function arrangement(name) {
    if (!arrangements.has(name)) {
      let stored = {};
      try {
        stored = JSON.parse(window.localStorage.getItem(STORED + name)) ?? {};
      } catch { /* Without storage every page starts afresh. */ }
      arrangements.set(name, { sort: stored.sort ?? null, hidden: new Set(stored.hidden ?? []), text: "" });
    }
    return arrangements.get(name);
  }

  function remember(name) {
    const { sort, hidden } = arrangement(name);
    try {
      window.localStorage.setItem(STORED + name, JSON.stringify({ sort, hidden: [...hidden] }));
    } catch { /* As above. */ }
  }

  // ---------------------------------------------------------------- what a cell says

  /** The text of a cell's upper or lower line; times in full. */
  function line(cell, isLower) {
    const copy = cell.cloneNode(true);
    const below = lower(copy);
    if (!isLower) below?.remove();
    const part = isLower ? below : copy;
    return part ? (part.querySelector("time")?.dateTime ?? words(part)) : "";
  }

  const label = (head) => line(head, false);
  const SPAN_S = { d: 86400, h: 3600, m: 60, s: 1 };

  /** What a line is sorted by: a number, text, or null if it is empty. */
  function measure(text) {
    if (["", "–", "-"].includes(text)) return null;
    if (/^\d{4}-\d\d-\d\d/.test(text)) return Date.parse(text);
    if (/^(\d+[dhms] ?)+$/.test(text)) {
      return [...text.matchAll(/(\d+)([dhms])/g)].reduce((sum, [, count, unit]) => sum + count * SPAN_S[unit], 0);
    }
    const number = text.match(/^[+-]?[\d,]*\.?\d+(?=$|[\sx%])/);
    return number ? Number(number[0].replaceAll(",", "")) : text.toLowerCase();
  }

  /** Order two values; empty ones come last in both directions. */
  function compare(one, other, isDown) {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    const order = typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true });
    return isDown ? -order : order;
  }

  // ---------------------------------------------------------------- arranging

  /** Put a button into every header that sorts here; one with a link is sorted by the server. */
  function dress(table) {
    for (const head of heads(table)) {
      if (head.hasAttribute("data-plain") || head.querySelector(".sort") || !words(head)) continue;
      const below = lower(head);
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...[...head.childNodes].filter((node) => node !== below));
      head.prepend(button);
      if (!below) continue;
      const second = button.cloneNode();
      second.append(...below.childNodes);
      below.append(second);
    }
    [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place ??= String(place); });
  }

  /** The rows of a table, each with its detail rows. */
  function groups(table) {
    const found = [];
    for (const row of table.tBodies[0].rows) {
      if (row.classList.contains("more") && found.length) found.at(-1).push(row);
      else found.push([row]);
    }
    return found;
  }

  function order(table, { sort }) {
    const rows = groups(table);
    const at = sort ? heads(table).findIndex((head) => label(head) === sort.label) : -1;
    const keyed = rows.map((group) => [at < 0 ? null : measure(line(group[0].cells[at], sort.isLower)), Number(group[0].dataset.place), group]);
    keyed.sort((one, other) => (at < 0 ? 0 : compare(one[0], other[0], sort.isDown)) || one[1] - other[1]);
    if (keyed.some(([, , group], place) => group !== rows[place])) table.tBodies[0].append(...keyed.flatMap(([, , group]) => group));
    heads(table).forEach((head, place) => {
      if (head.querySelector("a.sort")) return;
      head.toggleAttribute("aria-sort", place === at);
      head.removeAttribute("data-lower");
      if (place !== at) return;
      head.setAttribute("aria-sort", sort.isDown ? "descending" : "ascending");
      head.toggleAttribute("data-lower", sort.isLower);
    });
  }

  /** Arrange a table, in the page or on its way into it, as its reader wants it. */
  function arrange(table) {
    const wanted = arrangement(table.dataset.table);
    dress(table);
    order(table, wanted);
    const parts = wanted.text.toLowerCase().split(/\s+/);
    for (const group of groups(table)) {
      const said = group.map(words).join(" ").toLowerCase();
      group.forEach((row) => { row.hidden = !parts.every((part) => said.includes(part)); });
    }
    const hidden = heads(table).map((head) => wanted.hidden.has(label(head)));
    for (const row of [table.tHead.rows[0], ...groups(table).map(([first]) => first)]) {
      [...row.cells].forEach((cell, place) => { cell.hidden = hidden[place]; });
    }
  }

  /** Show beside a table how many rows match, and keep its header in view: of the page, or of its own box if it is too wide. */
  function settle() {
    for (const tools of all("[data-tools]")) {
      const table = named(tools.dataset.tools);
      tools.hidden = !table;
      if (!table || !arrangement(tools.dataset.tools).text) {
        tools.querySelector("output").textContent = "";
        continue;
      }
      const rows = groups(table);
      tools.querySelector("output").textContent = `${rows.filter(([row]) => !row.hidden).length} of ${rows.length}`;
    }
    for (const table of all(".scroll > table[data-table]")) {
      const isWide = table.offsetWidth > table.parentElement.clientWidth;
      table.parentElement.classList.toggle("boxed", isWide);
      table.parentElement.classList.toggle("fits", !isWide);
    }
  }

  function rearrange(name) {
    arrange(named(name));
    settle();
  }

  /** Sort by a line of a column: first in the usual direction, then reversed, then in the original order. */
  function sortBy(button) {
    const table = button.closest("table");
    const head = button.closest("th");
    const isLower = button.parentElement !== head;
    const wanted = arrangement(table.dataset.table);
    const at = heads(table).indexOf(head);
    const known = groups(table).map(([row]) => measure(line(row.cells[at], isLower))).find((one) => one !== null);
    const isDownFirst = typeof known === "number";
    const isSame = wanted.sort?.label === label(head) && wanted.sort.isLower === isLower;
    if (!isSame) wanted.sort = { label: label(head), isLower, isDown: isDownFirst };
    else wanted.sort = wanted.sort.isDown === isDownFirst ? { ...wanted.sort, isDown: !isDownFirst } : null;
    remember(table.dataset.table);
    rearrange(table.dataset.table);
  }

  // ---------------------------------------------------------------- columns

  /** List the columns in the menu of a table: shown or not, and a button that sorts, for windows without headers. */
  function list(menu, name) {
    menu.replaceChildren(...heads(named(name)).filter((head) => label(head) && !head.classList.contains("actions")).map((head) => {
      const row = document.createElement("div");
      const choice = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !arrangement(name).hidden.has(label(head));
      box.addEventListener("change", () => {
        arrangement(name).hidden[box.checked ? "delete" : "add"](label(head));
        remember(name);
        rearrange(name);
      });
      choice.append(box, label(head));
      row.append(choice);
      const control = head.querySelector(".sort");
      if (control) {
        const sort = document.createElement("button");
        const show = () => { sort.textContent = { ascending: "sorted ↑", descending: "sorted ↓" }[head.getAttribute("aria-sort")] ?? "sort"; };
        sort.type = "button";
        sort.setAttribute("aria-label", `Sort by ${label(head)}`);
        sort.addEventListener("click", () => { control.click(); list(menu, name); menu.querySelector(`[aria-label="Sort by ${CSS.escape(label(head))}"]`)?.focus(); });
        show();
        row.append(sort);
      }
      return row;
    }));
  }

  // ---------------------------------------------------------------- CSV

  const isNumber = (text) => /^[+-]?[\d,]*\.?\d+( ?[%xR])?$/.test(text);

  /** A field of a CSV file. A number loses its thousands separators and unit; text cannot become a formula. */
  function field(text) {
    const plain = isNumber(text) ? String(measure(text)) : text.replace(/^(?=[=+\-@\t\r])(?![+-][\d,.]+ … )/, "'");
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  }

  /** The rows and columns that are shown, as CSV; a cell of two lines makes two columns. */
  function csv(table) {
    const columns = heads(table).flatMap((head, at) => {
      if (head.hidden || head.hasAttribute("data-plain") || !words(head)) return [];
      return lower(head) ? [[at, head, false], [at, head, true]] : [[at, head, false]];
    });
    const rows = groups(table).filter(([row]) => !row.hidden).map(([row]) => row.cells);
    const head = columns.map(([at, cell, isLower]) => {
      const unit = rows.map((cells) => line(cells[at], isLower).match(/^[+-]?[\d,.]+ (%|R)$/)?.[1]).find(Boolean);
      return `${label(cell)}${isLower ? `, ${line(cell, true)}` : ""}${unit ? ` (${unit})` : ""}`;
    });
    const lines = [head, ...rows.map((cells) => columns.map(([at, , isLower]) => line(cells[at], isLower)))];
    return lines.map((one) => `${one.map(field).join(",")}\r\n`).join("");
  }

  function save(name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(named(name))], { type: "text/csv" }));
    link.download = `${name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---------------------------------------------------------------- the page

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.sort, [data-csv]");
    if (button?.matches(".sort")) sortBy(button);
    else if (button) save(button.closest("[data-tools]").dataset.tools);
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-tools] input[type=search]")) return;
    const name = event.target.closest("[data-tools]").dataset.tools;
    arrangement(name).text = event.target.value.trim();
    if (named(name)) rearrange(name);
  });
  document.addEventListener("beforetoggle", (event) => {
    const menu = event.target.closest?.(".columns-menu");
    if (menu && event.newState === "open") list(menu, menu.closest("[data-tools]").dataset.tools);
  }, true);

  const callbacks = window.Idiomorph?.defaults.callbacks;
  if (callbacks) {
    const { beforeNodeMorphed } = callbacks;
    callbacks.beforeNodeMorphed = (before, after) => {
      if (after.nodeType === Node.ELEMENT_NODE) {
        if (after.matches("table[data-table]")) arrange(after);
        if (before.matches?.(".scroll")) after.className = before.className;
      }
      return beforeNodeMorphed(before, after);
    };
    callbacks.beforeNodeAdded = (node) => {
      if (node.nodeType === Node.ELEMENT_NODE) [node, ...all("*", node)].filter((one) => one.matches("table[data-table]")).forEach(arrange);
      return true;
    };
  }
  document.addEventListener("htmx:afterSwap", settle);
  window.addEventListener("resize", settle);
  all("table[data-table]").forEach(arrange);
  settle();
})();
