// Shared by both charts: the page's colours for a canvas, the chart's options, and the data from the page.
const palette = (() => {
  "use strict";
  const probe = document.createElement("span");
  probe.hidden = true;

  const colors = new Map();
  document.addEventListener("themechange", () => colors.clear());

  /** A CSS custom property as rgba, with an opacity. */
  function color(name, alpha = 1) {
    if (!probe.isConnected) document.body.append(probe);
    if (!colors.has(name)) {
      probe.style.color = `var(${name})`;
      colors.set(name, getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).join(", "));
    }
    return `rgba(${colors.get(name)}, ${alpha})`;
  }

  /** A value that the browser remembers under a name; without storage, until the page is left. */
  function remembered(name, initial) {
    let value = null;
    try {
      value = JSON.parse(window.localStorage.getItem(name));
    } catch {
      value = null; // No storage, or not what was stored.
    }
    return {
      get: () => value ?? initial,
      set(next) {
        value = next;
        try {
          window.localStorage.setItem(name, JSON.stringify(next));
        } catch {
          return; // The page remembers it.
        }
      },
    };
  }

  /** The JSON in an element of the page. It is not in a script element because htmx omits those when it swaps. */
  function data(id) {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  }

  const seconds = (atMs) => Math.floor(atMs / 1000);

  /** Sort points by time; of points with the same time, keep the last. */
  function ordered(points) {
    const byTime = new Map(points.map((point) => [point.time, point]));
    return [...byTime.values()].sort((one, other) => one.time - other.time);
  }

  /** Create a chart in the page's colours. The page's footer, not the chart, credits the library. */
  function chart(element, options = {}) {
    const line = color("--line");
    return LightweightCharts.createChart(element, {
      autoSize: true,
      layout: {
        background: { color: "transparent" },
        textColor: color("--faint"),
        fontFamily: getComputedStyle(document.body).fontFamily,
        fontSize: 11,
        attributionLogo: false,
        panes: { separatorColor: color("--line"), separatorHoverColor: color("--hover"), enableResize: true },
      },
      grid: { vertLines: { color: color("--line", 0.5) }, horzLines: { color: color("--line", 0.8) } },
      rightPriceScale: { borderColor: line, minimumWidth: 64, entireTextOnly: true },
      timeScale: { borderColor: line, timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.1 },
      crosshair: {
        mode: LightweightCharts.CrosshairMode.Normal,
        vertLine: { color: color("--faint", 0.6), labelBackgroundColor: color("--line-strong") },
        horzLine: { color: color("--faint", 0.6), labelBackgroundColor: color("--line-strong") },
      },
      handleScroll: { vertTouchDrag: false },
      ...options,
    });
  }

  /** Update a series of `count` points from `from` on; 0 sets all points again, which costs the chart far more. */
  function setTail(series, all, { from, count }, point) {
    if (from === 0) series.setData(all.map(point));
    else for (let index = from; index < all.length; index++) series.update(point(all[index], index), index < count - 1);
  }

  /** Write a pane's title into its corner. */
  function title(pane, text, vertAlign = "top") {
    const fontFamily = getComputedStyle(document.body).fontFamily;
    LightweightCharts.createTextWatermark(pane, {
      horzAlign: "left", vertAlign, lines: [{ text, color: color("--faint"), fontSize: 11, fontFamily }],
    });
  }

  const formats = []; // By digits: to make one takes far longer than to use it, and a chart writes hundreds a second.
  const number = (value, digits) =>
    (formats[digits] ??= new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })).format(value);
  /** A number with its sign, unless it is written as zero. */
  const signed = (value, digits, unit = "") => {
    const text = number(Math.abs(value), digits);
    return `${/[1-9]/.test(text) ? (value < 0 ? "-" : "+") : ""}${text}${unit}`;
  };

  /** A UTC time to the minute, in the format of all pages. */
  const utc = (time) => new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ");

  /** Write names and values into a line: [name, value, tone of the value, colour of its line in the chart]. */
  function write(line, parts) {
    line.replaceChildren(...parts.map(([name, value, tone = "", tint = ""]) => {
      const part = document.createElement("span");
      const bold = document.createElement("b");
      part.className = tint && "tinted";
      if (tint) part.style.setProperty("--tint", `var(${tint})`);
      bold.className = tone;
      bold.textContent = value;
      part.append(name ? `${name} ` : "", bold);
      return part;
    }));
  }

  const FAR = 10;

  /**
   * Read a chart at a time with the mouse, a tap or the arrow keys (Shift moves further, Home and End move to the
   * edges, Escape back to the newest). `at` receives the cursor's place; `line` shows the values, and is read aloud after a key press.
   */
  function cursor(box, made, series, line, at) {
    const scale = made.timeScale();
    const spoken = document.createElement("output");
    spoken.className = "aloud";
    box.append(spoken);
    box.tabIndex = 0;
    let place = null;
    let touched = false;

    made.subscribeCrosshairMove((move) => {
      place = move.time === undefined ? null : (move.logical ?? place);
      at(move);
    });

    function moveTo(logical) {
      const time = scale.coordinateToTime(scale.logicalToCoordinate(logical) ?? -1);
      const bar = series().dataByIndex(logical, -1);
      if (time === null || !bar) return;
      const price = bar.value ?? bar.close;
      made.setCrosshairPosition(price, time, series());
      place = logical;
      at({ time, logical, point: { x: scale.logicalToCoordinate(logical), y: series().priceToCoordinate(price) } });
    }

    box.addEventListener("pointerdown", (event) => { touched = event.pointerType !== "mouse"; });
    made.subscribeClick((click) => {
      if (touched && click.logical !== undefined) moveTo(click.logical);
    });

    box.addEventListener("keydown", (event) => {
      if (event.target !== box || event.ctrlKey || event.metaKey || event.altKey) return;
      const range = scale.getVisibleLogicalRange();
      if (!range) return;
      const last = scale.timeToIndex(series().data().at(-1)?.time ?? 0, true) ?? 0;
      const edges = [Math.max(Math.ceil(range.from), 0), Math.floor(range.to)];
      const end = Math.min(edges[1], last);
      const from = place ?? end + 1;
      const step = event.shiftKey ? FAR : 1;
      const target = { ArrowLeft: from - step, ArrowRight: from + step, Home: edges[0], End: end }[event.key];
      if (event.key === "Escape") {
        made.clearCrosshairPosition();
        place = null;
        at({});
      }
      if (target === undefined) return;
      event.preventDefault();
      const next = Math.min(Math.max(target, 0), last);
      const beyond = Math.min(next - edges[0], 0) || Math.max(next - edges[1], 0);
      if (beyond) scale.setVisibleLogicalRange({ from: range.from + beyond, to: range.to + beyond });
      moveTo(next);
      spoken.textContent = line.textContent;
    });

    return { remove: () => spoken.remove() };
  }

  /** Draw now, update after new data in one of the `holders`, and redraw when the theme changes. */
  function keepDrawn(plotId, dataId, holders, draw) {
    const element = document.getElementById(plotId);
    let drawn = null;
    const refresh = () => {
      const found = data(dataId);
      if (!element || !found) return;
      drawn ??= draw(element);
      drawn.update(found);
      element.classList.add("ready");
    };
    document.addEventListener("htmx:afterSwap", (event) => {
      if (holders.includes(event.target.id)) refresh();
    });
    document.addEventListener("themechange", () => {
      drawn?.remove();
      drawn = null;
      refresh();
    });
    refresh();
  }

  return { data, color, remembered, seconds, ordered, chart, setTail, title, number, signed, utc, write, cursor, keepDrawn };
})();
