// Lines along the candles: the chosen indicators and a strategy's readings, on the price and in panes below it.
const indicators = (() => {
  "use strict";
  const { color, seconds, title, number } = palette;
  const TINTS = ["--series-3", "--series-1", "--series-2", "--series-4", "--series-6", "--series-5", "--series-7"];
  const BUILT_IN = {
    VWAP: "--series-3", RSI: "--series-1", "EMA 20": "--series-2", "EMA 50": "--series-4", "Bollinger upper": "--series-7", "Bollinger middle": "--series-7",
    "Bollinger lower": "--series-7", MACD: "--series-1", "MACD signal": "--series-3", ATR: "--series-6",
  };
  const PRICE = "price";
  const PANE_SHARE = 0.36;
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
    let drawn = [];
    let shape = "";

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

    /** Create the series and panes of other lines than before. */
    function build(lines) {
      drawn.forEach((one) => made.removeSeries(one.series));
      const places = [PRICE];
      drawn = lines.map((line, order) => {
        const tint = BUILT_IN[line.name] ?? TINTS[order % TINTS.length];
        const isNew = !places.includes(line.place);
        if (isNew) places.push(line.place);
        const position = places.indexOf(line.place);
        const found = series(line, tint, isNew ? made.panes().length : position);
        const inside = lines.filter((one) => one.place === line.place).map((one) => one.name);
        if (isNew) furnish(found, position, line.place.split(":")[1] ?? inside.join(", "));
        return { series: found, tint, line, digits: 0 };
      });
    }

    return {
      update(chart, decimals) {
        const lines = of(chart).filter((one) => isShown(one.name));
        const seen = lines.map((one) => `${one.name} ${one.place}`).join();
        if (seen !== shape) build(lines);
        shape = seen;
        lines.forEach((line, order) => {
          const digits = line.place === PRICE ? decimals : digitsOf(line);
          Object.assign(drawn[order], { line, digits });
          drawn[order].series.applyOptions({ priceFormat: { type: "custom", formatter: (value) => number(value, line.range ? 0 : digits), minMove: 10 ** -digits } });
          drawn[order].series.setData(chart.candles.map((one, index) => point(seconds(one.open_time_ms), line.values, index)));
        });
      },

      /** The values on the price between two candles. */
      prices: (from, to) => drawn.filter(({ line }) => line.place === PRICE).flatMap(({ line }) => line.values.slice(from, to)),

      /** Names and values at a candle for the legend. A forming candle has no indicators yet: those before it count. */
      legend: (index, isForming) => drawn.flatMap(({ line, tint, digits }) => {
        const value = line.values[index] ?? (isForming ? line.values[index - 1] : null);
        return missing(value) ? [] : [[line.name, number(value, digits), "", tint]];
      }),
    };
  }

  return { on, joined };
})();
