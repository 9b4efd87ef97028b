// Lines along the candles: the chosen indicators and a strategy's readings, on the price and in panes below it.
const indicators = (() => {
  "use strict";
  const { color, seconds, title, number, setTail } = palette;
  const TINTS = ["--series-3", "--series-1", "--series-2", "--series-4", "--series-6", "--series-5", "--series-7"];
  const BUILT_IN = {
    VWAP: "--series-3", RSI: "--series-1", "EMA 20": "--series-2", "EMA 50": "--series-4", "Bollinger upper": "--series-7", "Bollinger middle": "--series-7",
    "Bollinger lower": "--series-7", MACD: "--series-1", "MACD signal": "--series-3", ATR: "--series-6",
  };
  const PRICE = "price";
  const PANE_SHARE = 0.36;
  const SAMPLES = 300;
  const quiet = { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
  const missing = (value) => value === null || value === undefined;
  const nothing = (count) => Array.from({ length: count }, () => null);

  /** All lines of a chart: those of the chosen strategy first, then the kernel's indicators. */
  function of({ plot, vwap, rsi, lines }) {
    return [
      ...(plot?.lines ?? []),
      { name: "VWAP", place: PRICE, values: vwap },
      { name: "RSI", place: "pane:RSI", values: rsi, range: [0, 100], levels: [30, 70], digits: 1 },
      ...lines,
    ];
  }

  /** Join the readings of some older candles, `[from, to]` of its list, in front of those of newer ones. */
  function joined(older, newer, [from, to]) {
    const of = (lines, chart, name) => lines.find((one) => one.name === name)?.values ?? nothing(chart.candles.length);
    const both = (before, after) => (after.length ? after : before).map((one) => (
      { ...one, values: [...of(before, older, one.name).slice(from, to), ...of(after, newer, one.name)] }
    ));
    const plot = newer.plot && { ...newer.plot, lines: both(older.plot.lines, newer.plot.lines) };
    return { plot, lines: both(older.lines, newer.lines) };
  }

  /** The decimal places that tell a line's values apart. */
  function digitsOf({ digits, values }) {
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value ?? 0)), 0);
    return digits ?? (largest >= 10 ? 1 : largest >= 1 || largest === 0 ? 2 : largest >= 0.01 ? 4 : 6);
  }

  /** A value at a time. From the last one before a gap no line is drawn, as nothing is known in between. */
  function point(time, values, index) {
    if (missing(values[index])) return { time };
    return { time, value: values[index], ...(missing(values[index + 1]) ? { color: "transparent" } : {}) };
  }

  /** Add the lines to a chart; `update` takes new data, `isShown` says which lines the reader chose. */
  function on(made, isShown) {
    const drawn = new Map();

    function series(line, tint, index) {
      const found = made.addSeries(LightweightCharts.LineSeries, {
        ...quiet, color: color(tint),
        ...(line.place === PRICE ? { autoscaleInfoProvider: () => null } : {}),
        ...(line.range ? { autoscaleInfoProvider: () => ({ priceRange: { minValue: line.range[0], maxValue: line.range[1] } }) } : {}),
      }, index);
      for (const price of line.levels ?? []) {
        found.createPriceLine({ price, color: color("--faint", 0.5), lineWidth: 1, lineStyle: 2, axisLabelVisible: false, title: "" });
      }
      return found;
    }

    /** Give the pane of a series its place below the price, its share of the height and its title. */
    function furnish(found, position, label) {
      const pane = found.getPane();
      pane.moveTo(position);
      pane.setStretchFactor(PANE_SHARE);
      title(pane, label);
      found.priceScale().applyOptions({ scaleMargins: { top: 0.2, bottom: 0.08 } });
    }

    const key = (line) => `${line.name} ${line.place}`;

    /** Remove the lines that are no longer shown, and create the new ones with their panes; the others stay. */
    function build(all, lines) {
      const wanted = new Set(lines.map(key));
      for (const [name, one] of [...drawn].filter(([known]) => !wanted.has(known))) {
        made.removeSeries(one.series);
        drawn.delete(name);
      }
      const places = [...new Set([PRICE, ...lines.map((line) => line.place)])];
      for (const line of lines.filter((one) => !drawn.has(key(one)))) {
        const tint = BUILT_IN[line.name] ?? TINTS[all.indexOf(line) % TINTS.length];
        const beside = [...drawn.values()].find((one) => one.line.place === line.place);
        const isNew = line.place !== PRICE && !beside;
        const found = series(line, tint, isNew ? made.panes().length : beside?.series.getPane().paneIndex() ?? 0);
        const inside = lines.filter((one) => one.place === line.place).map((one) => one.name);
        if (isNew) furnish(found, places.indexOf(line.place), line.place.split(":")[1] ?? inside.join(", "));
        drawn.set(key(line), { series: found, tint, line, digits: 0, isNew: true });
      }
    }

    return {
      /** Draw the lines of a chart; `tail` is the candle from which on they are new, as in `setTail`. */
      update(chart, decimals, tail) {
        const all = of(chart);
        const lines = all.filter((one) => isShown(one.name));
        build(all, lines);
        for (const line of lines) {
          const one = drawn.get(key(line));
          const digits = line.place === PRICE ? decimals : digitsOf(line);
          if (digits !== one.digits || one.isNew) {
            one.series.applyOptions({ priceFormat: { type: "custom", formatter: (value) => number(value, line.range ? 0 : digits), minMove: 10 ** -digits } });
          }
          // The point before the first new one may end a gap.
          const from = one.isNew ? 0 : Math.max(tail.from - 1, 0);
          setTail(one.series, chart.candles, { ...tail, from }, (candle, index) => point(seconds(candle.open_time_ms), line.values, index));
          Object.assign(one, { line, digits, isNew: false });
        }
      },

      /** The values on the price pane between two candles; a sample if the span is wide. */
      prices(from, to) {
        const step = Math.max(Math.floor((to - from) / SAMPLES), 1);
        const shown = [...drawn.values()].filter(({ line }) => line.place === PRICE);
        return shown.flatMap(({ line }) => line.values.slice(from, to).filter((_, index) => index % step === 0));
      },

      /** Names and values at a candle for the legend. A forming candle has no indicators yet: those before it count. */
      legend: (index, isForming) => [...drawn.values()].flatMap(({ line, tint, digits }) => {
        const value = line.values[index] ?? (isForming ? line.values[index - 1] : null);
        return missing(value) ? [] : [[line.name, number(value, digits), "", tint]];
      }),
    };
  }

  return { on, joined };
})();
