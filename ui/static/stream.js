// The server's stream. Over HTTP/1.1 a browser opens only six connections per host, so all visible pages share one
// stream: this file runs in a SharedWorker that holds it, and in each page. Without SharedWorker a page has its own. A hidden page has none.
const stream = (() => {
  "use strict";
  const WORKER = "papertape";
  /** Where the pages of this log begin: a log that is opened from the library has its own stream and worker. */
  const BASE = typeof document === "undefined" ? self.name.slice(WORKER.length) : document.body.dataset.base;
  const ADDRESS = `${BASE}/pages/stream`;
  const NAMES = ["header", "moved", "rest", "beat"];
  const RETRY_MS = 1_000;
  const RETRY_MS_MAX = 30_000;
  /** A page that is silent for this long is gone: a crashed page sends no goodbye. */
  const PAGE_SILENT_MS_MAX = 60_000;

  /** A stream that reconnects until it is stopped. */
  function source(hand) {
    let opened = null;
    let timer = 0;
    let failures = 0;

    function open() {
      const own = new EventSource(ADDRESS);
      for (const name of NAMES) {
        own.addEventListener(name, (event) => {
          failures = 0;
          hand(name, event.data);
        });
      }
      // The browser reconnects a broken stream, but not a refused one.
      own.addEventListener("error", () => {
        if (own !== opened || own.readyState !== EventSource.CLOSED) return;
        timer = setTimeout(open, Math.min(RETRY_MS * 2 ** failures, RETRY_MS_MAX));
        failures += 1;
      });
      opened = own;
    }

    return {
      isOpen: () => opened?.readyState === EventSource.OPEN,
      start() {
        if (!opened) open();
      },
      stop() {
        clearTimeout(timer);
        opened?.close();
        opened = null;
        failures = 0;
      },
    };
  }

  /** In the worker: share one stream among all visible pages. */
  function share(scope) {
    const pages = new Map(); // The port of each page, and when it was last heard.
    const newest = new Map(); // The first messages for a page that joins an open stream.

    const shared = source((name, data) => {
      newest.set(name === "header" ? "header" : "rest", data);
      for (const [port, heardMs] of pages) {
        if (Date.now() - heardMs > PAGE_SILENT_MS_MAX) leave(port);
        else port.postMessage([name, data]);
      }
    });

    function leave(port) {
      pages.delete(port);
      if (pages.size === 0) shared.stop();
    }

    function here(port) {
      const joins = !pages.has(port);
      pages.set(port, Date.now());
      if (joins && shared.isOpen()) newest.forEach((data, name) => port.postMessage([name, data]));
      shared.start();
    }

    scope.addEventListener("connect", (event) => {
      const port = event.ports[0];
      port.addEventListener("message", (message) => (message.data === "here" ? here(port) : leave(port)));
      port.start();
    });
  }

  /** In a page: `here` asks for the stream, repeatedly while the page is visible; `leave` releases it. */
  function join(script, hand) {
    const alone = () => {
      const own = source(hand);
      return { here: own.start, leave: own.stop };
    };
    if (!window.SharedWorker) return alone();
    let member = null;

    function connect() {
      const worker = new SharedWorker(script, WORKER + BASE);
      // Not loaded, or not allowed: the page opens its own stream.
      worker.addEventListener("error", () => { member = alone(); member.here(); });
      worker.port.addEventListener("message", (message) => hand(...message.data));
      worker.port.start();
      return { here: () => worker.port.postMessage("here"), leave: () => worker.port.postMessage("gone"), worker };
    }

    return {
      here() {
        member ??= connect();
        member.here();
      },
      leave() {
        member?.leave();
      },
      /** Connect again after a long silence: the system may have ended the worker. */
      again() {
        if (!member?.worker) return;
        member.leave();
        member.worker.port.close();
        member = connect();
        member.here();
      },
    };
  }

  if (typeof SharedWorkerGlobalScope === "function" && self instanceof SharedWorkerGlobalScope) share(self);
  return { join };
})();
