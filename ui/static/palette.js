// What both charts share: colours of the page as a canvas needs them, the chart's look, and data that comes with the page.
const palette = (() => {
  "use strict";
  const probe = document.createElement("span");
  probe.hidden = true;

  /** A custom property of the page as rgb, with an opacity. */
  function color(name, alpha = 1) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(${name})`;
    const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g);
    return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
  }

  /** The JSON that an element of the page holds. It stands in no script: htmx leaves those out of what it puts into a page. */
  function data(id) {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  }

  const seconds = (atMs) => Math.floor(atMs / 1000);

  /** Points by rising time, the last of those with the same time. */
  function ordered(points) {
    const byTime = new Map(points.map((point) => [point.time, point]));
    return [...byTime.values()].sort((one, other) => one.time - other.time);
  }

  /** A chart in an element, in the page's colours. The library is named in the page's footer, not in the picture. */
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

  /** What a pane shows, in its corner. */
  function title(pane, text, vertAlign = "top") {
    const fontFamily = getComputedStyle(document.body).fontFamily;
    LightweightCharts.createTextWatermark(pane, {
      horzAlign: "left", vertAlign, lines: [{ text, color: color("--faint"), fontSize: 11, fontFamily }],
    });
  }

  const number = (value, digits) =>
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  /** With a sign where a digit says more than nothing. */
  const signed = (value, digits, unit = "") => {
    const text = number(Math.abs(value), digits);
    return `${/[1-9]/.test(text) ? (value < 0 ? "-" : "+") : ""}${text}${unit}`;
  };

  /** Draw now, again when new data came into one of the `holders`, and anew in other colours. */
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

  return { data, color, seconds, ordered, chart, title, number, signed, keepDrawn };
})();
