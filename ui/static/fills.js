// Trades on a chart: markers of entries and exits, a line between them, and details under the cursor.
const fills = (() => {
  "use strict";
  const { color, seconds, number, signed } = palette;
  const TEXT_ROOM_PX = 62;
  /** The distance of a result from its candle. */
  const TEXT_FROM_PX = 10;
  const TEXT_TO_PX = 32;
  const TIP_LINES_MAX = 6;
  const words = (name) => name.replaceAll("_", " ");
  const arrow = (side) => (side === "long" ? "▲" : "▼");

  /** Group entries and exits by candle; those before the first candle are omitted. */
  function grouped(found) {
    const step = found.chart.timeframe_ms;
    const places = new Map(found.chart.candles.map((one, index) => [one.open_time_ms, index]));
    const groups = new Map();
    const add = (kind, atMs, one) => {
      const openMs = Math.floor(atMs / step) * step;
      if (!places.has(openMs)) return;
      const key = `${openMs} ${kind} ${one.side}`;
      if (!groups.has(key)) groups.set(key, { kind, side: one.side, time: seconds(openMs), place: places.get(openMs), all: [] });
      groups.get(key).all.push(one);
    };
    for (const one of found.trades) {
      add("in", one.entry_time_ms, one);
      add("out", one.exit_time_ms - 1, one); // An exit happens inside a candle, an entry at its open.
    }
    for (const one of found.positions) add("in", one.entry_time_ms, one);
    return [...groups.values()].sort((one, other) => one.place - other.place);
  }

  const isBelow = (group) => (group.kind === "in") === (group.side === "long");

  function tint(group) {
    if (group.kind === "in") return group.side === "long" ? "--up" : "--down";
    const won = group.all.filter((one) => one.net_usdt > 0).length;
    return won === group.all.length ? "--up" : won === 0 ? "--down" : "--warn";
  }

  /** One marker per group. A result is written beside a marker if there is room; all are shown under the cursor. */
  function signs(groups, spacingPx, free) {
    const outs = groups.filter((group) => group.kind === "out");
    const roomy = new Set(
      outs.filter((group, at) => [outs[at - 1], outs[at + 1]].every(
        (other) => !other || Math.abs(other.place - group.place) * spacingPx > TEXT_ROOM_PX,
      )),
    );
    return groups.map((group) => {
      const below = isBelow(group);
      const text = group.all.length > 1 ? `${group.all.length}×` : roomy.has(group) ? signed(group.all[0].net_usdt, 2) : "";
      return {
        time: group.time,
        position: below ? "belowBar" : "aboveBar",
        shape: group.kind === "out" ? "circle" : below ? "arrowUp" : "arrowDown",
        size: group.kind === "out" ? 0.6 : 1,
        color: color(tint(group)),
        text: text && free(group) ? text : "",
      };
    });
  }

  function describe(group, decimals) {
    return group.all.map((one) => {
      const side = `${arrow(one.side)} ${one.side}`;
      if (group.kind === "in") return [`${side} opened at ${number(one.entry_price_usdt, decimals)} by strategy ${one.strategy}`, ""];
      const result = `${signed(one.net_usdt, 2)} USDT, ${signed(one.r_multiple, 2)} R`;
      return [`${side} of strategy ${one.strategy} closed at ${number(one.exit_price_usdt, decimals)}, ${words(one.reason)}: `, result, one.net_usdt > 0 ? "up" : "down"];
    });
  }

  /** Dashed lines from each entry to its exit, coloured by the result. */
  function tradeLines(chart, series) {
    let lines = [];
    const draw = (target) => target.useMediaCoordinateSpace(({ context }) => {
      context.lineWidth = 1;
      context.setLineDash([3, 3]);
      for (const one of lines) {
        const ends = [[one.from, one.entry], [one.to, one.exit]].map(
          ([time, price]) => [chart.timeScale().timeToCoordinate(time), series.priceToCoordinate(price)],
        );
        if (ends.flat().includes(null)) continue;
        context.strokeStyle = one.color;
        context.beginPath();
        context.moveTo(...ends[0]);
        context.lineTo(...ends[1]);
        context.stroke();
      }
    });
    let redraw = () => {};
    series.attachPrimitive({
      attached: ({ requestUpdate }) => { redraw = requestUpdate; },
      updateAllViews: () => {},
      paneViews: () => [{ zOrder: () => "top", renderer: () => ({ draw }) }],
    });
    return (groups) => {
      const begun = new Map(groups.filter((one) => one.kind === "in").flatMap((group) => group.all.map((one) => [one, group.time])));
      lines = groups.filter((group) => group.kind === "out").flatMap((group) => group.all.filter((one) => begun.has(one)).map((one) => ({
        from: begun.get(one), to: group.time, entry: one.entry_price_usdt, exit: one.exit_price_usdt,
        color: color(one.net_usdt > 0 ? "--up" : "--down", 0.9),
      })));
      redraw();
    };
  }

  /** Add markers, lines and a tooltip to a candle chart. `update` takes new data, `point` the cursor's position. */
  function on(element, chart, series) {
    const markers = LightweightCharts.createSeriesMarkers(series, []);
    const connect = tradeLines(chart, series);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    element.append(tip);
    let groups = [];
    let bars = [];
    let decimals = 2;
    let spacingPx = 0;

    /** Whether there is room for a result above or below its candle, without neighbouring candles. */
    function free(group) {
      const y = (price) => series.priceToCoordinate(price) ?? 0;
      const around = Math.ceil(TEXT_ROOM_PX / 2 / spacingPx);
      const own = bars[group.place];
      const [top, bottom] = isBelow(group) ? [y(own.low) + TEXT_FROM_PX, y(own.low) + TEXT_TO_PX] : [y(own.high) - TEXT_TO_PX, y(own.high) - TEXT_FROM_PX];
      return bars.slice(Math.max(group.place - around, 0), group.place + around + 1)
        .every((one) => one === own || y(one.low) < top || y(one.high) > bottom);
    }

    function place() {
      const range = chart.timeScale().getVisibleLogicalRange();
      if (!range) return;
      spacingPx = chart.timeScale().width() / Math.max(range.to - range.from, 1);
      markers.setMarkers(signs(groups, spacingPx, free));
    }

    function point(move) {
      const here = move.time === undefined ? [] : groups.filter((group) => group.time === move.time);
      const lines = here.flatMap((group) => describe(group, decimals)).slice(-TIP_LINES_MAX);
      tip.hidden = lines.length === 0;
      if (tip.hidden) return;
      tip.classList.toggle("right", move.point.x < chart.timeScale().width() / 2);
      tip.replaceChildren(...lines.map(([text, result, tone]) => {
        const row = document.createElement("div");
        const bold = document.createElement("b");
        bold.className = `num ${tone ?? ""}`;
        bold.textContent = result;
        row.append(text, bold);
        return row;
      }));
    }

    chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      const now = range ? chart.timeScale().width() / Math.max(range.to - range.from, 1) : spacingPx;
      if (Math.abs(now - spacingPx) > 0.2) place();
    });
    return {
      update(found) {
        groups = grouped(found);
        bars = found.chart.candles;
        decimals = found.decimals;
        connect(groups);
        requestAnimationFrame(place); // The scale fits the new candles by then.
      },
      point,
      remove: () => tip.remove(),
    };
  }

  return { on };
})();
