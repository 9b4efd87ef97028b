// Prices at which orders rested, as lines over the time for which they did: a stop that trails is a staircase.
const resting = (() => {
  "use strict";
  const { color } = palette;
  const STYLES = {
    entry: ["--accent", [4, 3]], add: ["--accent", [1, 3]], target: ["--up", [4, 3]],
    stop: ["--down", [4, 3]], trailing_stop: ["--down", []], breakeven_stop: ["--warn", []],
  };
  /** An order that no longer rests is drawn faintly. */
  const ENDED_ALPHA = 0.45;
  const RESTING_ALPHA = 0.95;

  const isStop = (one) => one.role.endsWith("stop");
  const key = (one) => `${one.strategy} ${one.role} ${one.rung} ${one.from_ms} ${one.price_usdt}`;

  /** The name of an order: `add 2`, `target 1`, `trailing stop`. */
  const named = (one) => `${one.role.replaceAll("_", " ").replace("breakeven", "break-even")}${one.rung ? ` ${one.rung}` : ""}`;
  const tint = (one) => STYLES[one.role][0];

  /** Join older and newer prices; of an order in both the newer one counts, and only newer ones still rest. */
  function joined(older, newer) {
    const known = new Set(newer.map(key));
    return [...older.filter((one) => one.until_ms && !known.has(key(one))), ...newer];
  }

  /** The index of the last candle that opened by a time, -1 before the first one. */
  function indexAt(bars, atMs) {
    let [low, high] = [0, bars.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bars[middle].open_time_ms <= atMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The position of a time among the candles, in candles: a fraction within one. */
  function placed(bars, step, atMs) {
    const index = indexAt(bars, atMs);
    return index < 0 ? -1 : index + Math.min((atMs - bars[index].open_time_ms) / step, 1);
  }

  /** Add the lines to a chart's candles; `update` takes new data. */
  function on(chart, series) {
    let lines = [];

    const draw = (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const scale = chart.timeScale();
      const [first, second] = [0, 1].map((index) => scale.logicalToCoordinate(index) ?? 0);
      const x = (place) => (place === null ? mediaSize.width : first + (place - 0.5) * (second - first));
      context.lineWidth = 1;
      const visible = scale.getVisibleLogicalRange() ?? { from: 0, to: 0 };
      for (const line of lines) {
        if ((line.to ?? Infinity) < visible.from || line.from > visible.to) continue;
        const y = series.priceToCoordinate(line.price);
        const [from, to] = [Math.max(x(line.from), 0), Math.min(x(line.to), mediaSize.width)];
        if (y === null || to <= from) continue;
        context.strokeStyle = line.color;
        context.setLineDash(line.dash);
        context.beginPath();
        context.moveTo(from, Math.round(y) + 0.5);
        context.lineTo(to, Math.round(y) + 0.5);
        const rise = line.next === undefined ? null : series.priceToCoordinate(line.next);
        if (rise !== null) context.lineTo(to, Math.round(rise) + 0.5);
        context.stroke();
      }
    });

    let redraw = () => {};
    series.attachPrimitive({
      attached: ({ requestUpdate }) => { redraw = requestUpdate; },
      updateAllViews: () => {},
      paneViews: () => [{ zOrder: () => "normal", renderer: () => ({ draw }) }],
    });

    /** The price to which a stop moved when it left this one, if it did. */
    function follower(one, all) {
      if (!isStop(one) || !one.until_ms) return undefined;
      return all.find((other) => isStop(other) && other.strategy === one.strategy && other.from_ms === one.until_ms)?.price_usdt;
    }

    return {
      update(found) {
        const { candles: bars, timeframe_ms: step } = found.chart;
        lines = found.resting.map((one) => {
          const [tone, dash] = STYLES[one.role];
          return {
            price: one.price_usdt, dash, color: color(tone, one.until_ms ? ENDED_ALPHA : RESTING_ALPHA), next: follower(one, found.resting),
            from: placed(bars, step, one.from_ms), to: one.until_ms ? placed(bars, step, one.until_ms) : null,
          };
        });
        redraw();
      },
    };
  }

  return { on, joined, named, tint, indexAt, placed };
})();
