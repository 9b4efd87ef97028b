// The script of every page: clocks, live updates, keys, filters, the time machine. Pages are readable without it.
(() => {
  "use strict";
  const STALE_MS = 10_000;
  /** The interval at which a visible page reports itself to the shared stream. */
  const HERE_MS = 10_000;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const two = (value) => String(value).padStart(2, "0");

  // ---------------------------------------------------------------- times

  /** Show the reader's local time as the title of a time. */
  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest?.("time[datetime]");
    if (time && !time.title) time.title = `${new Date(time.dateTime).toLocaleString()}, your time`;
  });

  function span(ms) {
    const seconds = Math.max(Math.floor(ms / 1000), 0);
    if (seconds < 60) return `${seconds}s`;
    const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "m"]];
    const first = parts.findIndex(([count]) => count > 0);
    return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count}${unit}`).join(" ");
  }

  function tick() {
    const now = new Date();
    const text = `${two(now.getUTCHours())}:${two(now.getUTCMinutes())}:${two(now.getUTCSeconds())}`;
    all("[data-clock]").forEach((clock) => { if (clock.textContent !== text) clock.textContent = text; });
    all("[data-age-of]").forEach((age) => {
      if (age.dataset.ageOf) age.textContent = `${span(now.getTime() - Number(age.dataset.ageOf))} ago`;
    });
    watch(now.getTime());
  }

  // ---------------------------------------------------------------- live

  let heardMs = Date.now();
  let reportedMs = 0;
  let live = null;
  const banner = document.getElementById("stale");

  function watch(nowMs) {
    if (!live || document.hidden) return;
    const silentMs = nowMs - heardMs;
    if (nowMs - reportedMs >= HERE_MS) {
      reportedMs = nowMs;
      (silentMs < STALE_MS ? live.here : live.again)();
    }
    banner.hidden = silentMs < STALE_MS;
    if (banner.hidden) return;
    const since = document.getElementById("stale-since");
    since.dateTime = new Date(heardMs).toISOString();
    since.textContent = `${since.dateTime.slice(11, 19)} UTC`;
    document.getElementById("stale-for").textContent = span(silentMs);
  }

  /** Handle a message, each of which is a sign of life; `moved` and `rest` make the parts of the page refresh. */
  function hear(name, data) {
    if (document.hidden) return;
    heardMs = Date.now();
    if (name === "header") head(data);
    else follow(Number(data));
    if (name === "moved" || name === "rest") window.htmx.trigger(document.body, name);
  }

  /** Update the header, and the footer with the same values. */
  function head(html) {
    window.Idiomorph.morph(document.getElementById("header"), html, { morphStyle: "innerHTML" });
    const values = { "end-seq": document.getElementById("header-seq")?.textContent, "end-market": one(".cells")?.dataset.market };
    for (const [id, text] of Object.entries(values)) if (text) document.getElementById(id).textContent = text;
  }

  // What stands outside the live part, such as the tabs of a chart, is complete only after the log has been read.
  if (one("#live > .banner.folding")) {
    document.addEventListener("htmx:afterSwap", () => {
      if (!one("#live > .banner.folding")) location.reload();
    });
  }

  /** Leave the stream when the page is hidden, and rejoin it when the page becomes visible again. */
  function visibilityChanged() {
    if (document.hidden) {
      live.leave();
    } else {
      heardMs = Date.now();
      live.here();
    }
  }

  if (document.body.hasAttribute("data-live")) {
    live = stream.join(one("script[data-stream]").src, hear);
    document.addEventListener("visibilitychange", visibilityChanged);
    window.addEventListener("pagehide", () => live.leave());
    window.addEventListener("pageshow", visibilityChanged);
  }

  /** Keep the time machine's slider at the newest event unless the user holds it. */
  function follow(seq) {
    const slider = document.getElementById("machine");
    if (!slider || !Number.isInteger(seq) || slider === document.activeElement) return;
    slider.max = String(seq);
    slider.value = slider.max;
    const text = seq.toLocaleString("en-US");
    document.getElementById("machine-seq").textContent = text;
    document.getElementById("machine-head").textContent = text;
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.matches("#live, #part-picture")) event.preventDefault();
  });

  /** Whether a refresh must leave an element unchanged: a chart, or a form in use. */
  function isPreserved(element) {
    if (element.dataset.keep !== "busy") return element.hasAttribute("data-keep");
    const hasText = all("input", element).some((input) => input.value);
    const hasSelection = all("select", element).some((choice) => choice.selectedIndex > 0);
    const hasFocus = element.contains(document.activeElement) && document.activeElement.matches("input, select");
    return hasText || hasSelection || hasFocus;
  }

  if (window.Idiomorph) {
    const callbacks = window.Idiomorph.defaults.callbacks;
    callbacks.beforeNodeMorphed = (before, after) => {
      if (before.nodeType !== Node.ELEMENT_NODE || after.nodeType !== Node.ELEMENT_NODE) return true;
      if (before.hasAttribute("data-clock") || isPreserved(before)) return false;
      if (before.hasAttribute("data-age-of") && after.getAttribute("data-age-of")) {
        before.dataset.ageOf = after.dataset.ageOf;
        before.className = after.className;
        return false;
      }
      return true;
    };
    callbacks.beforeAttributeUpdated = (name, node) => !(name === "title" && node.nodeName === "TIME") && !(name === "open" && node.nodeName === "DETAILS");
  }

  // ---------------------------------------------------------------- popovers

  const POPOVER_PX = 300;
  let pressed = null;
  document.addEventListener("click", (event) => { pressed = event.target.closest("button") ?? pressed; }, true);

  /** Place a popover at the button that opens it, below or, near the end of the window, above. */
  document.addEventListener("beforetoggle", (event) => {
    const box = event.target;
    if (event.newState !== "open" || !box.hasAttribute("popover") || !pressed) return;
    const at = pressed.getBoundingClientRect();
    const leftMax = window.innerWidth - POPOVER_PX - 8;
    const isBelow = at.bottom < window.innerHeight * 0.6;
    box.style.left = `${Math.max(8, Math.min(at.right - POPOVER_PX, leftMax))}px`;
    box.style.top = isBelow ? `${at.bottom + 4}px` : "auto";
    box.style.bottom = isBelow ? "auto" : `${window.innerHeight - at.top + 4}px`;
    box.style.maxHeight = `${(isBelow ? window.innerHeight - at.bottom : at.top) - 12}px`;
  }, true);

  // ---------------------------------------------------------------- filters

  /** Omit empty fields from the address. */
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.filters, form.search")) return;
    const empty = all("input, select", event.target).filter((field) => field.name && !field.value);
    empty.forEach((field) => { field.disabled = true; });
    setTimeout(() => empty.forEach((field) => { field.disabled = false; }), 0);
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-auto-submit]");
    if (form) form.requestSubmit();
  });

  /** Continue a search without a match automatically while the page is visible. */
  const further = one("[data-continue]");
  if (further && !document.hidden) window.location.replace(further.href);

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-copy]");
    if (!link || !navigator.clipboard) return;
    event.preventDefault();
    await navigator.clipboard.writeText(link.href);
    const label = link.textContent;
    link.textContent = "Copied";
    setTimeout(() => { link.textContent = label; }, 1500);
  });

  // ---------------------------------------------------------------- time machine

  /** The header is the same on all pages, so its time machine link must keep the address of this page. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-look-back]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const address = new URL(window.location.href);
    address.searchParams.set("as_of", new URL(link.href).searchParams.get("as_of"));
    assign(address);
  });

  function assign(address) {
    for (const name of ["before", "looked_to"]) address.searchParams.delete(name);
    window.location.assign(address);
  }

  /** Scroll rows of tabs to the current one. */
  all(".tabs").forEach((tabs) => {
    const current = one("[aria-current]", tabs);
    if (current) tabs.scrollLeft = current.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - current.clientWidth) / 2;
  });

  const machine = document.getElementById("machine");
  if (machine) {
    const shown = document.getElementById("machine-seq");
    machine.addEventListener("input", () => { shown.textContent = Number(machine.value).toLocaleString("en-US"); });
    machine.addEventListener("change", () => {
      const address = new URL(window.location.href);
      address.searchParams.set("as_of", machine.value);
      assign(address);
    });
  }

  tick();
  setInterval(tick, 1000);
})();
