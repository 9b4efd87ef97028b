// Trades on a chart: a range from entry to exit in the colour of the result, a marker for every fill, and details under the cursor.
const fills = (() => {
  "use strict";
  const { color, seconds, number, signed, utc } = palette;
  const TEXT_ROOM_PX = 62;
  /** The distance of a result from its candle. */
  const TEXT_FROM_PX = 10;
  const TEXT_TO_PX = 32;
  const TIP_LINES_MAX = 6;
  /** The size of the marker of a part, relative to that of a whole position. */
  const PART_SIZE = 0.65;
  const words = (name) => name.replaceAll("_", " ");
  const arrow = (side) => (side === "long" ? "▲" : "▼");

  const isOut = (fill) => fill.action === "reduce" || fill.action === "close";
  /** The result that belongs to a fill: that of the whole trade where it ends, of the part where it is reduced. */
  const resultOf = ({ fill, source }) => (fill.action === "close" ? source.net_usdt : fill.gross_usdt);

  /** The index of a fill's candle: a market entry fills at the candle's open, any other fill within it. */
  const placeOf = (bars, fill) => resting.indexAt(bars, !isOut(fill) && fill.reason === "market" ? fill.time_ms : fill.time_ms - 1);

  /** Group fills by candle; those outside the candles are omitted. */
  function grouped(found) {
    const { candles: bars, timeframe_ms: step } = found.chart;
    const groups = new Map();
    const add = (fill, source) => {
      const place = placeOf(bars, fill);
      if (place < 0 || fill.time_ms > bars[place].open_time_ms + step) return;
      const kind = isOut(fill) ? "out" : "in";
      const key = `${place} ${kind} ${source.side}`;
      if (!groups.has(key)) groups.set(key, { kind, side: source.side, time: seconds(bars[place].open_time_ms), place, all: [] });
      groups.get(key).all.push({ fill, source });
    };
    for (const source of [...found.trades, ...found.positions]) source.fills.forEach((fill) => add(fill, source));
    return [...groups.values()].sort((one, other) => one.place - other.place);
  }

  const isBelow = (group) => (group.kind === "in") === (group.side === "long");

  function tint(group) {
    if (group.kind === "in") return group.side === "long" ? "--up" : "--down";
    const won = group.all.filter((one) => resultOf(one) > 0).length;
    return won === group.all.length ? "--up" : won === 0 ? "--down" : "--warn";
  }

  /** Whether a group opens or closes a position: its marker is larger than that of a part. */
  const isWhole = (group) => group.all.some(({ fill }) => fill.action === "open" || fill.action === "close");

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
      const text = group.all.length > 1 ? `${group.all.length}×` : roomy.has(group) ? signed(resultOf(group.all[0]), 2) : "";
      const size = group.kind === "out" ? 0.6 : 1;
      return {
        time: group.time,
        position: below ? "belowBar" : "aboveBar",
        shape: group.kind === "out" ? "circle" : below ? "arrowUp" : "arrowDown",
        size: isWhole(group) ? size : size * PART_SIZE,
        color: color(tint(group)),
        text: text && free(group) ? text : "",
      };
    });
  }

  const VERBS = { open: "opened", increase: "increased by", reduce: "reduced by", close: "closed" };

  function describe(group, decimals) {
    return group.all.map((one) => {
      const { fill, source } = one;
      const size = fill.action === "increase" || fill.action === "reduce" ? ` ${fill.quantity_base}` : "";
      const text = `${arrow(source.side)} ${source.side} of strategy ${source.strategy} ${VERBS[fill.action]}${size} at ${number(fill.price_usdt, decimals)}`;
      const order = fill.reason === "market" ? "" : `, ${fill.reason} order${fill.rung ? `, add ${fill.rung}` : ""}`;
      if (group.kind === "in") return [`${text}${order}`, ""];
      const outcome = fill.action === "close" ? outcomeOf(source) : `${signed(resultOf(one), 2)} USDT`;
      return [`${text}, ${words(fill.reason)}: `, outcome, resultOf(one) > 0 ? "up" : "down"];
    });
  }

  /** The result of a trade in USDT, in units of its risk and in percent of its notional. */
  function outcomeOf(trade) {
    const share = (trade.net_usdt / (trade.quantity_base * trade.entry_price_usdt)) * 100;
    return `${signed(trade.net_usdt, 2)} USDT, ${signed(trade.r_multiple, 2)} R, ${signed(share, 2, " %")}`;
  }

  /** A trade, from entry to exit, in words. */
  function describeRange({ trade }) {
    const [from, to] = [trade.entry_time_ms, trade.exit_time_ms].map((atMs) => utc(seconds(atMs)));
    const until = to.slice(0, 10) === from.slice(0, 10) ? to.slice(11) : to;
    return [`${arrow(trade.side)} ${trade.side} of strategy ${trade.strategy}, ${from} to ${until}: `, outcomeOf(trade), trade.net_usdt > 0 ? "up" : "down"];
  }

  /** Trades as ranges: a shaded area between entry and exit, and a dashed line through the fills. */
  function tradeRanges(chart, series) {
    let ranges = [];
    let focus = 0;
    const draw = (target) => target.useMediaCoordinateSpace(({ context }) => {
      const scale = chart.timeScale();
      const visible = scale.getVisibleLogicalRange();
      if (!visible) return;
      const [first, second] = [0, 1].map((index) => scale.logicalToCoordinate(index) ?? 0);
      const x = (place) => first + place * (second - first);
      context.lineWidth = 1;
      for (const { trade, from, to, points, tint } of ranges) {
        if (to < visible.from || from > visible.to) continue;
        const [entry, exit] = [trade.entry_price_usdt, trade.exit_price_usdt].map((price) => series.priceToCoordinate(price));
        const [left, width] = [x(from - 0.5), Math.max(x(to + 0.5) - x(from - 0.5), 2)];
        context.fillStyle = color(tint, trade.seq === focus ? 0.26 : 0.14);
        context.fillRect(left, Math.min(entry, exit), width, Math.max(Math.abs(exit - entry), 1));
        context.setLineDash([]);
        context.strokeStyle = color(trade.seq === focus ? "--accent" : tint, trade.seq === focus ? 0.9 : 0.35);
        context.strokeRect(left, Math.min(entry, exit), width, Math.max(Math.abs(exit - entry), 1));
        context.setLineDash([3, 3]);
        context.strokeStyle = color(tint, 0.9);
        context.beginPath();
        points.forEach(([place, price], at) => context[at ? "lineTo" : "moveTo"](x(place), series.priceToCoordinate(price)));
        context.stroke();
      }
    });
    let redraw = () => {};
    series.attachPrimitive({
      attached: ({ requestUpdate }) => { redraw = requestUpdate; },
      updateAllViews: () => {},
      paneViews: () => [{ zOrder: () => "normal", renderer: () => ({ draw }) }],
    });
    return {
      update(found) {
        const bars = found.chart.candles;
        focus = found.focus?.seq ?? 0;
        ranges = found.trades.map((trade) => {
          const points = trade.fills.map((fill) => [placeOf(bars, fill), fill.price_usdt]).filter(([place]) => place >= 0);
          return { trade, from: Math.max(placeOf(bars, trade.fills[0]), 0), to: placeOf(bars, trade.fills.at(-1)), points, tint: trade.net_usdt > 0 ? "--up" : "--down" };
        }).filter((one) => one.to >= 0);
        redraw();
      },
      /** The trades that are open at a candle. */
      at: (place) => ranges.filter((one) => one.from <= place && place <= one.to),
    };
  }

  /** Add markers, lines and a tooltip to a candle chart. `update` takes new data, `point` the cursor's position. */
  function on(element, chart, series) {
    const markers = LightweightCharts.createSeriesMarkers(series, []);
    const ranges = tradeRanges(chart, series);
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
      const open = here.length || move.logical === undefined ? [] : ranges.at(move.logical);
      const lines = [...open.map(describeRange), ...here.flatMap((group) => describe(group, decimals))].slice(-TIP_LINES_MAX);
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
        ranges.update(found);
        requestAnimationFrame(place); // The scale fits the new candles by then.
      },
      point,
      remove: () => tip.remove(),
    };
  }

  return { on };
})();
