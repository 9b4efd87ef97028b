// Keys: `?` lists them, `g` and a letter open a page, `/` searches the events, Ctrl-K finds a page, strategy or symbol.
(() => {
  "use strict";
  const OFF = "keys.off";
  const SEQUENCE_MS = 1_500;
  const FIELD = "input:not([type=checkbox]), select, textarea, [contenteditable]";
  const help = document.getElementById("keys");
  const finder = document.getElementById("finder");
  const query = finder.querySelector("input");
  const search = finder.querySelector("[data-search]");
  const links = () => [...finder.querySelectorAll("li:not([hidden]) a")];

  const stored = () => {
    try {
      return window.localStorage.getItem(OFF);
    } catch {
      return null;
    }
  };
  const choice = help.querySelector("[data-keys-on]");
  choice.checked = !stored();
  choice.addEventListener("change", () => {
    try {
      window.localStorage.setItem(OFF, choice.checked ? "" : "1");
    } catch { /* The choice lasts for this page. */ }
  });

  /** Show the links whose name contains what is typed, and a search of the events for it. */
  function filter() {
    const parts = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of finder.querySelectorAll("li")) {
      const name = [...row.firstElementChild.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("").toLowerCase();
      row.hidden = row.contains(search) ? !parts.length : !parts.every((part) => name.includes(part));
    }
    const address = new URL(search.href);
    address.searchParams.set("q", query.value.trim());
    search.href = address;
    search.querySelector("b").textContent = query.value.trim();
  }

  function find() {
    query.value = "";
    filter();
    finder.showModal();
  }

  finder.addEventListener("input", filter);
  finder.addEventListener("submit", (event) => {
    event.preventDefault();
    links()[0]?.click();
  });
  finder.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const stops = [query, ...links()];
    stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length].focus();
  });

  function slash() {
    document.getElementById("search").focus();
    document.getElementById("search").select();
  }

  let goMs = 0;
  function single(event) {
    const isGoing = event.timeStamp - goMs < SEQUENCE_MS;
    goMs = 0;
    const target = isGoing && document.querySelector(`.nav a[data-key="${CSS.escape(event.key)}"]`);
    if (target) target.click();
    else if (event.key === "g") goMs = event.timeStamp;
    else if (event.key === "?") help.showModal();
    else if (event.key === "/") slash();
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      if (!document.querySelector("dialog[open]")) find();
      return;
    }
    const isTyping = event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(FIELD);
    if (!isTyping && choice.checked && !document.querySelector("dialog[open]")) single(event);
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-help]")) help.showModal();
    if (event.target.closest("[data-find]")) find();
    if (event.target.matches("dialog")) event.target.close(); // A click outside the box.
  });
})();
