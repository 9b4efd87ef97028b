// The equity chart: all strategies, the total and the market in percent of the capital, the drawdown below, and events.
(() => {
  "use strict";
  const { data, color, remembered, seconds, ordered, chart, title, number, signed, utc, write, cursor, keepDrawn } = palette;
  const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6", "--series-7"];
  const DASHES = [
    { style: LightweightCharts.LineStyle.Solid, path: "M0 2h12" },
    { style: LightweightCharts.LineStyle.LargeDashed, path: "M0 2h5M7 2h5" },
    { style: LightweightCharts.LineStyle.Dotted, path: "M0 2h2.5M4.75 2h2.5M9.5 2h2.5" },
  ];
  const EVEN_MAX = 1000;
  const STEPS_S = [60, 300, 900, 3_600, 14_400, 86_400];
  /** The names of the curves that the reader switched off. */
  const chosen = remembered("hidden-curves", []);
  const isHidden = (name) => chosen.get().includes(name);

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
    const lasts = new Map([...(newest?.curves ?? []), newest?.benchmark].filter(Boolean).map((curve) => [curve.name, curve.points[0]]));
    const extended = (curve) => ({ ...curve, points: joined(curve.points, lasts.get(curve.name), (point) => point[0]) });
    const benchmark = found.benchmark && extended(found.benchmark);
    return { ...found, curves: found.curves.map(extended), benchmark, drawdowns: joined(found.drawdowns, newest?.drawdowns[0], (one) => one.at_ms) };
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
    let moved = false; // The reader chose a span, which a window of another width keeps.
    for (const kind of ["wheel", "pointerdown"]) box.addEventListener(kind, () => { moved = true; }, { once: true, passive: true });
    made.timeScale().subscribeSizeChange(() => { if (!moved) made.timeScale().fitContent(); });
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
    let marks = null;
    let shown = null;
    let under; // The time under the cursor, in seconds.

    /** How a curve is drawn: the market as a thin dotted line, the first one with a filled area. */
    function styleOf(curve, index) {
      const market = curve.name === shown.benchmark?.name;
      const first = index === 0;
      return {
        series: first ? LightweightCharts.AreaSeries : LightweightCharts.LineSeries,
        tint: market ? "--faint" : hue(index),
        dash: market ? DASHES[2] : DASHES[round(index)],
        width: first ? 2 : 1,
      };
    }

    function line(curve, index) {
      let found = lines.get(curve.name);
      if (!found) {
        const { series, tint, dash, width } = styleOf(curve, index);
        found = made.addSeries(series, {
          color: color(tint),
          lineColor: color(tint),
          topColor: color(tint, 0.16),
          bottomColor: color(tint, 0),
          lineWidth: width,
          lineStyle: dash.style,
          lineType: LightweightCharts.LineType.WithSteps, // An equity is valid until the next one.
          priceLineVisible: false,
          lastValueVisible: index === 0,
          priceFormat: percent((value) => signed(value, 2, " %")),
          crosshairMarkerRadius: 3,
          visible: !isHidden(curve.name),
        });
        lines.set(curve.name, found);
      }
      return found;
    }

    function toggle(name) {
      chosen.set(isHidden(name) ? chosen.get().filter((one) => one !== name) : [...chosen.get(), name]);
      lines.get(name)?.applyOptions({ visible: !isHidden(name) });
      label();
    }

    function keyButton(curve, index) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `Show or hide ${curve.name}`;
      const { tint, dash } = styleOf(curve, index);
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
      stroke.setAttribute("d", dash.path);
      stroke.setAttribute("stroke", color(tint));
      stroke.setAttribute("stroke-width", "4");
      swatch.append(stroke);
      button.append(swatch, curve.name, document.createElement("b"));
      button.addEventListener("click", () => toggle(curve.name));
      key.append(button);
      return button;
    }

    /** Update the key with each curve's newest value, or the value under the cursor. Buttons are reused, so that they keep the focus. */
    function label() {
      for (const [index, curve] of all().entries()) {
        if (!buttons.has(curve.name)) buttons.set(curve.name, keyButton(curve, index));
        const button = buttons.get(curve.name);
        const value = valueAt(curve.points, (one) => one[0])?.[2];
        button.setAttribute("aria-pressed", String(!isHidden(curve.name)));
        button.lastChild.textContent = value === undefined ? "–" : signed(value, 2, " %");
      }
    }

    /** All curves, the market last. */
    const all = () => [...shown.curves, shown.benchmark].filter(Boolean);

    /** Explain the markers that are on the chart. */
    function explain() {
      key.querySelectorAll("span").forEach((old) => old.remove());
      key.append(...marks.key().map(([mark, words, tone]) => {
        const sign = document.createElement("span");
        const shape = document.createElement("i");
        shape.className = tone;
        shape.textContent = mark;
        sign.append(shape, ` ${words}`);
        return sign;
      }));
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
      const here = move.point ? marks.at(move.point.x) : [];
      tip.hidden = here.length === 0;
      tip.classList.toggle("right", move.point?.x < made.timeScale().width() / 2);
      tip.replaceChildren(...here.map((text) => {
        const row = document.createElement("div");
        row.textContent = text;
        return row;
      }));
    });

    function update(picture) {
      const wasEmpty = shown === null;
      const found = upTo(data("curves-newest"), picture);
      const times = found.curves[0].points.map((point) => seconds(point[0]));
      element.classList.toggle("blank", times.length === 0);
      even.setData(between(times[0], times.at(-1)));
      shown = found;
      // The total is drawn last, so that it lies above the others.
      for (const [index, curve] of [...all().entries()].reverse()) {
        line(curve, index).setData(ordered(curve.points.map(([atMs, , percent]) => ({ time: seconds(atMs), value: percent }))));
      }
      drawdown.setData(
        ordered(found.drawdowns.map((one) => ({ time: seconds(one.at_ms), value: -one.drawdown_percent }))),
      );
      marks ??= equityMarks.on(made, even, lines.get(found.curves[0].name));
      marks.update(equityMarks.of(found, times));
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
