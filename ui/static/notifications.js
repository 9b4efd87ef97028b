// New messages as browser notifications, while a page is open in any tab. The choice is kept in this browser.
(() => {
  "use strict";
  const CHOICE = "notifications";
  /** The newest message that any tab has shown. */
  const SHOWN = "notified-seq";
  const HERE_MS = 10_000;
  const PAUSE_MS = 2_000;
  const SHOWN_MAX = 5;
  if (!window.Notification || !document.body.hasAttribute("data-live")) return;
  let member = null;
  let waits = false;

  const read = (key) => {
    try { return window.localStorage.getItem(key); } catch { return null; }
  };
  const write = (key, value) => {
    try { window.localStorage.setItem(key, value); } catch { /* Nothing is kept in this browser. */ }
  };
  const isOn = () => read(CHOICE) === "on" && Notification.permission === "granted";

  async function messages() {
    const answer = await fetch("/api/v1/messages", { headers: { Accept: "application/json" } });
    return answer.ok ? (await answer.json()).data.filter((one) => one.kind !== "heartbeat") : [];
  }

  function show(message) {
    const [title, ...lines] = message.text.split("\n");
    // The same tag in another tab replaces a notification instead of repeating it.
    const shown = new Notification(title, { body: lines.join("\n"), tag: `papertape-${message.seq}`, silent: message.silent });
    shown.addEventListener("click", () => {
      window.focus();
      window.location.assign(`/events/${message.seq}`);
    });
  }

  /** Show what is newer than the newest message shown; the first time, only remember which that is. */
  async function look() {
    waits = false;
    if (!isOn()) return;
    const found = await messages().catch(() => []);
    const seen = read(SHOWN);
    if (!found.length || Number(seen) === found[0].seq) return;
    write(SHOWN, String(found[0].seq));
    if (seen === null || Number(seen) > found[0].seq) return; // The first time, or another log.
    found.filter((one) => one.seq > Number(seen)).slice(0, SHOWN_MAX).reverse().forEach(show);
  }

  /** Listen to the stream, even while the page is hidden: that is when a notification matters. */
  function listen() {
    if (member) return;
    member = stream.join(document.querySelector("script[data-stream]").src, (name) => {
      if (name !== "moved" && name !== "rest") return;
      if (waits) return;
      waits = true;
      setTimeout(look, PAUSE_MS);
    });
    setInterval(() => (isOn() ? member.here() : member.leave()), HERE_MS);
    member.here();
  }

  function draw() {
    document.querySelectorAll("[data-notifications]").forEach((button) => {
      const refused = Notification.permission === "denied";
      button.hidden = false;
      button.disabled = refused;
      button.setAttribute("aria-pressed", String(isOn()));
      button.textContent = refused ? "Notifications are blocked by the browser" : `Notifications in this browser: ${isOn() ? "on" : "off"}`;
    });
  }

  document.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-notifications]")) return;
    const wanted = !isOn();
    // Only here does the browser ask for permission.
    if (wanted && Notification.permission === "default") await Notification.requestPermission();
    write(CHOICE, wanted ? "on" : "off");
    if (isOn()) {
      write(SHOWN, String((await messages().catch(() => []))[0]?.seq ?? 0));
      listen();
    }
    draw();
  });

  draw();
  if (isOn()) listen();
})();
