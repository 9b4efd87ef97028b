// Trades on a chart: a marker for every fill, a line through the fills of a trade, and details under the cursor.
const fills = (() => {
  "use strict";
  const { color, seconds, number, signed } = palette;
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

  /** Group fills by candle; those before the first candle are omitted. */
  function grouped(found) {
    const step = found.chart.timeframe_ms;
    const places = new Map(found.chart.candles.map((one, index) => [one.open_time_ms, index]));
    const groups = new Map();
    const add = (fill, source) => {
      // A market entry happens at the open of a candle, any other fill inside one.
      const atMs = !isOut(fill) && fill.reason === "market" ? fill.time_ms : fill.time_ms - 1;
      const openMs = Math.floor(atMs / step) * step;
      if (!places.has(openMs)) return;
      const kind = isOut(fill) ? "out" : "in";
      const key = `${openMs} ${kind} ${source.side}`;
      if (!groups.has(key)) groups.set(key, { kind, side: source.side, time: seconds(openMs), place: places.get(openMs), all: [] });
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
      const multiple = fill.action === "close" ? `, ${signed(source.r_multiple, 2)} R` : "";
      return [`${text}, ${words(fill.reason)}: `, `${signed(resultOf(one), 2)} USDT${multiple}`, resultOf(one) > 0 ? "up" : "down"];
    });
  }

  /** Dashed lines through the fills of each trade, coloured by the result. */
  function tradeLines(chart, series) {
    let lines = [];
    const draw = (target) => target.useMediaCoordinateSpace(({ context }) => {
      context.lineWidth = 1;
      context.setLineDash([3, 3]);
      for (const one of lines) {
        const points = one.points.map(([time, price]) => [chart.timeScale().timeToCoordinate(time), series.priceToCoordinate(price)]);
        if (points.flat().includes(null)) continue;
        context.strokeStyle = one.color;
        context.beginPath();
        points.forEach((point, at) => (at ? context.lineTo(...point) : context.moveTo(...point)));
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
      const ways = new Map();
      for (const group of groups) {
        for (const { fill, source } of group.all) {
          if (source.net_usdt === undefined) continue;
          if (!ways.has(source)) ways.set(source, []);
          ways.get(source).push([fill.seq, group.time, fill.price_usdt]);
        }
      }
      lines = [...ways].filter(([source, points]) => points.length === source.fills.length).map(([source, points]) => ({
        points: points.sort((one, other) => one[0] - other[0]).map(([, time, price]) => [time, price]),
        color: color(source.net_usdt > 0 ? "--up" : "--down", 0.9),
      }));
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
