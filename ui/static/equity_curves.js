// The equity chart: all strategies and the total in percent of their capital, the drawdown below, and event markers.
(() => {
  "use strict";
  const { data, color, seconds, ordered, chart, title, number, signed, utc, write, cursor, keepDrawn } = palette;
  const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6", "--series-7"];
  const DASHES = [
    { style: LightweightCharts.LineStyle.Solid, path: "M0 2h12" },
    { style: LightweightCharts.LineStyle.LargeDashed, path: "M0 2h5M7 2h5" },
    { style: LightweightCharts.LineStyle.Dotted, path: "M0 2h2.5M4.75 2h2.5M9.5 2h2.5" },
  ];
  const MARKS = {
    kill: { tone: "down", color: "--down", shape: "arrowDown", position: "aboveBar", sign: "▼ kill switch" },
    reset: { tone: "up", color: "--up", shape: "arrowUp", position: "belowBar", sign: "▲ reset" },
    configuration: { tone: "flat", color: "--faint", shape: "square", position: "belowBar", sign: "■ configuration" },
    start: { tone: "flat", color: "--faint", shape: "square", position: "belowBar", sign: "■ start" },
    outage: { tone: "warn", color: "--warn", shape: "circle", position: "aboveBar", sign: "● outage" },
  };
  const EVEN_MAX = 1000;
  const STEPS_S = [60, 300, 900, 3_600, 14_400, 86_400];
  const MARK_PX = 18;
  const hidden = new Set();

  const hue = (index) => (index === 0 ? SERIES[0] : SERIES[1 + ((index - 1) % (SERIES.length - 1))]);

  /** Curves that share a hue differ in their dashes. */
  const round = (index) => (index === 0 ? 0 : Math.floor((index - 1) / (SERIES.length - 1)) % DASHES.length);

  /** Evenly spaced round times of a span, without values, for the labels of the axis. */
  function between(first, last) {
    if (!(last > first)) return [];
    const step = STEPS_S.find((one) => (last - first) / one <= EVEN_MAX) ?? (last - first) / EVEN_MAX;
    const begun = Math.ceil(first / step);
    const count = Math.max(Math.floor(last / step) - begun + 1, 0);
    const round = [...Array(count).keys()].map((at) => Math.floor((begun + at) * step));
    return ordered([first, ...round, last].map((time) => ({ time })));
  }

  /** Extend the chart data to the newest points, which come with the figures and more often. */
  function upTo(newest, found) {
    const joined = (points, last, atMs) => (last ? [...points.filter((one) => atMs(one) < atMs(last)), last] : points);
    const lasts = new Map((newest?.curves ?? []).map((curve) => [curve.name, curve.points[0]]));
    const curves = found.curves.map((curve) => (
      { ...curve, points: joined(curve.points, lasts.get(curve.name), (point) => point[0]) }
    ));
    return { ...found, curves, drawdowns: joined(found.drawdowns, newest?.drawdowns[0], (one) => one.at_ms) };
  }

  function draw(element) {
    const key = document.createElement("div");
    key.className = "key";
    const box = document.createElement("div");
    box.className = "box";
    box.setAttribute("role", "application");
    box.setAttribute("aria-label", "Equity and drawdown: use the arrow keys to read the values at each time");
    const legend = document.createElement("p");
    legend.className = "legend num";
    element.append(key, legend, box);
    const made = chart(box);
    made.timeScale().applyOptions({ rightOffsetPixels: 20, fixLeftEdge: true });
    const percent = (text) => ({ type: "custom", formatter: text, minMove: 0.01 });
    const lines = new Map();
    const buttons = new Map();
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    box.append(tip);
    const drawdown = made.addSeries(
      LightweightCharts.AreaSeries,
      {
        lineColor: color("--down", 0.8),
        lineWidth: 1,
        topColor: color("--down", 0.02),
        bottomColor: color("--down", 0.22),
        invertFilledArea: true,
        lineType: LightweightCharts.LineType.WithSteps,
        priceLineVisible: false,
        lastValueVisible: false,
        priceFormat: percent((value) => `${number(value, 2)} %`),
      },
      1,
    );
    made.panes()[1].setStretchFactor(0.34);
    drawdown.priceScale().applyOptions({ scaleMargins: { top: 0.2, bottom: 0.1 } });
    title(made.panes()[1], "Drawdown", "bottom");
    // The library gives every known time the same width, so evenly spaced times make the time axis linear.
    const even = made.addSeries(LightweightCharts.LineSeries, {
      priceLineVisible: false,
      lastValueVisible: false,
      crosshairMarkerVisible: false,
      priceFormat: percent((value) => signed(value, 2, " %")), // The first series formats the scale.
    });
    let marker = null;
    let shown = null;
    let under; // The time under the cursor, in seconds.

    function line(curve, index) {
      let found = lines.get(curve.name);
      if (!found) {
        const total = index === 0;
        found = made.addSeries(total ? LightweightCharts.AreaSeries : LightweightCharts.LineSeries, {
          color: color(hue(index)),
          lineColor: color(hue(index)),
          topColor: color(hue(index), 0.16),
          bottomColor: color(hue(index), 0),
          lineWidth: total ? 2 : 1,
          lineStyle: DASHES[round(index)].style,
          lineType: LightweightCharts.LineType.WithSteps, // An equity is valid until the next one.
          priceLineVisible: false,
          lastValueVisible: total,
          priceFormat: percent((value) => signed(value, 2, " %")),
          crosshairMarkerRadius: 3,
          visible: !hidden.has(curve.name),
        });
        lines.set(curve.name, found);
      }
      return found;
    }

    /** Merge overlapping markers of one kind, so that the line below them stays visible. */
    function apart(marks, times) {
      const pxPerSecond = box.clientWidth / Math.max(times.at(-1) - times[0], 1);
      const last = new Map();
      return [...marks].sort((one, other) => one.time - other.time).filter((mark) => {
        const near = (mark.time - (last.get(mark.kind) ?? -Infinity)) * pxPerSecond < MARK_PX;
        if (!near) last.set(mark.kind, mark.time);
        return !near;
      });
    }

    function toggle(name) {
      if (!hidden.delete(name)) hidden.add(name);
      lines.get(name)?.applyOptions({ visible: !hidden.has(name) });
      label();
    }

    function keyButton(curve, index) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `Show or hide ${curve.name}`;
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
      stroke.setAttribute("d", DASHES[round(index)].path);
      stroke.setAttribute("stroke", color(hue(index)));
      stroke.setAttribute("stroke-width", "4");
      swatch.append(stroke);
      button.append(swatch, curve.name, document.createElement("b"));
      button.addEventListener("click", () => toggle(curve.name));
      key.append(button);
      return button;
    }

    /** Update the key with each curve's newest value, or the value under the cursor. Buttons are reused, so that they keep the focus. */
    function label() {
      for (const [index, curve] of shown.curves.entries()) {
        if (!buttons.has(curve.name)) buttons.set(curve.name, keyButton(curve, index));
        const button = buttons.get(curve.name);
        const value = valueAt(curve.points, (one) => one[0])?.[2];
        button.setAttribute("aria-pressed", String(!hidden.has(curve.name)));
        button.lastChild.textContent = value === undefined ? "–" : signed(value, 2, " %");
      }
    }

    /** Explain the markers that are on the chart. */
    function explain() {
      const kinds = new Set(shown.marks.map((mark) => mark.kind));
      const signs = Object.entries(MARKS).filter(([kind]) => kinds.has(kind)).map(([, mark]) => {
        const sign = document.createElement("span");
        const shape = document.createElement("i");
        shape.className = mark.tone;
        shape.textContent = mark.sign.slice(0, 1);
        sign.append(shape, mark.sign.slice(1));
        return sign;
      });
      key.querySelectorAll("span").forEach((old) => old.remove());
      key.append(...signs);
    }

    /** The newest point up to the time under the cursor: an equity is valid until the next one. */
    const valueAt = (points, time) => (under === undefined ? points.at(-1) : points.findLast((one) => seconds(time(one)) <= under));

    /** Show the time under the cursor with the equity and the drawdown of the first curve. */
    function describe() {
      const [first] = shown.curves;
      const point = valueAt(first.points, (one) => one[0]);
      if (!point) return write(legend, []);
      const drawdownPercent = valueAt(shown.drawdowns, (one) => one.at_ms)?.drawdown_percent ?? 0;
      return write(legend, [
        ["", utc(under ?? seconds(point[0]))], [`Equity ${first.name}`, `${number(point[1], 2)} USDT`],
        ["", signed(point[2], 2, " %"), point[2] > 0 ? "up" : point[2] < 0 ? "down" : ""], ["Drawdown", `${number(drawdownPercent, 2)} %`],
      ]);
    }

    const reader = cursor(box, made, () => lines.get(shown.curves[0].name), legend, (move) => {
      if (!shown) return;
      under = move.time;
      label();
      describe();
      const here = shown.marks.filter((mark) => mark.time === move.time).slice(-6);
      tip.hidden = here.length === 0;
      tip.replaceChildren(
        ...here.map((mark) => {
          const row = document.createElement("div");
          row.textContent = `${MARKS[mark.kind].sign}: ${mark.text}`;
          return row;
        }),
      );
    });

    function update(picture) {
      const wasEmpty = shown === null;
      const found = upTo(data("curves-newest"), picture);
      const times = found.curves[0].points.map((point) => seconds(point[0]));
      element.classList.toggle("blank", times.length === 0);
      even.setData(between(times[0], times.at(-1)));
      // The total is drawn last, so that it lies above the others.
      const order = [...found.curves.keys()].reverse();
      order.forEach((index) => {
        const curve = found.curves[index];
        line(curve, index).setData(
          ordered(curve.points.map(([atMs, , percent]) => ({ time: seconds(atMs), value: percent }))),
        );
      });
      drawdown.setData(
        ordered(found.drawdowns.map((one) => ({ time: seconds(one.at_ms), value: -one.drawdown_percent }))),
      );
      const marks = found.marks
        .filter((mark) => mark.kind in MARKS)
        .map((mark) => ({ ...mark, time: times.find((time) => time >= seconds(mark.at_ms)) ?? times.at(-1) }))
        .filter((mark) => mark.time !== undefined && (!["configuration", "start"].includes(mark.kind) || mark.time !== times[0]));
      shown = { curves: found.curves, drawdowns: found.drawdowns, marks };
      const total = lines.get(found.curves[0].name);
      const sorted = apart(marks, times).map((mark) => (
        { time: mark.time, ...MARKS[mark.kind], color: color(MARKS[mark.kind].color), size: mark.kind === "outage" ? 0.3 : 0.8, text: mark.kind === "kill" ? "kill" : "" }
      ));
      if (marker) marker.setMarkers(sorted);
      else marker = LightweightCharts.createSeriesMarkers(total, sorted);
      label();
      describe();
      explain();
      if (wasEmpty) made.timeScale().fitContent();
    }

    function remove() {
      reader.remove();
      made.remove();
      key.remove();
      legend.remove();
      box.remove();
    }

    return { update, remove };
  }

  keepDrawn("curves-plot", "curves-data", ["part-picture", "live"], draw);
})();
