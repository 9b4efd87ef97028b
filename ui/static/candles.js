// The chart of one symbol: candles, volume, indicators, fills and resting prices; funding in a pane of its own.
(() => {
  "use strict";
  const { color, seconds, ordered, chart, setTail, title, number, utc, write, cursor, keepDrawn } = palette;
  const legend = document.getElementById("candles-legend");
  const BAR_PX = 7.5;
  /** Narrower candles could not be told apart, and thousands of them at once would be slow to draw. */
  const BAR_PX_MIN = 0.5;
  const BARS_MAX = 140;
  const BARS_MIN = 32;
  const NARROW_PX = 600;
  const TITLED_MAX = 2;
  /** A line extends the price scale if it lies within this share of the candles' height above or below them. */
  const NEAR_LINE = 0.2;
  const NEAR_LEVEL = 1;
  /** The distance in bars from an edge at which more candles are fetched, and the maximum number of candles kept. */
  const EDGE_BARS = 30;
  /** Candles that the server sends at once, and with a strategy's readings. */
  const FETCHED = 1_000;
  const FETCHED_WITH_READINGS = 240;
  const EMPTY_MAX = 64;
  const KEPT_MAX = 12_000;
  const RETRY_MS = 5_000;
  /** If more candles than this are new, all are set again. */
  const TAIL_MAX = 50;

  /** Fetch this chart's data before a time. */
  async function before(atMs) {
    const address = new URL(window.location.href);
    address.searchParams.set("part", "picture");
    address.searchParams.set("before_ms", atMs);
    for (const name of ["at", "trade"]) address.searchParams.delete(name);
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return JSON.parse(page.getElementById("candles-data").textContent);
  }

  /** Join older data in front of newer data; for a candle in both, the newer one counts. */
  function joined(older, newer) {
    const firstMs = newer.chart.candles[0]?.open_time_ms ?? Infinity;
    const later = older.chart.candles.findIndex((one) => one.open_time_ms >= firstMs);
    const end = later < 0 ? older.chart.candles.length : later;
    const begin = Math.max(end + newer.chart.candles.length - KEPT_MAX, 0);
    const both = (name) => [...older.chart[name].slice(begin, end), ...newer.chart[name]];
    const known = new Set(newer.trades.map((one) => one.seq));
    return {
      ...newer,
      focus: older.focus ?? newer.focus,
      trades: [...newer.trades, ...older.trades.filter((one) => !known.has(one.seq))],
      resting: resting.joined(older.resting, newer.resting),
      chart: {
        ...newer.chart, candles: both("candles"), vwap: both("vwap"), rsi: both("rsi"),
        ...indicators.joined(older.chart, newer.chart, [begin, end]),
        funding: [...older.chart.funding.filter((one) => one.settled_at_ms < firstMs), ...newer.chart.funding],
      },
    };
  }

  function draw(element) {
    const made = chart(element);
    made.timeScale().applyOptions({ minBarSpacing: BAR_PX_MIN });
    const up = color("--up");
    const down = color("--down");
    const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
    const narrow = element.clientWidth < NARROW_PX;
    const levels = [];
    let shown = null;
    let under;

    const candles = made.addSeries(LightweightCharts.CandlestickSeries, {
      upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down,
      priceLineColor: color("--faint"), autoscaleInfoProvider: scaled,
    });
    const volume = made.addSeries(LightweightCharts.HistogramSeries, {
      ...quiet, priceScaleId: "volume", priceFormat: { type: "volume" },
    });
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
    candles.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.18 } });
    const strategy = new URL(window.location.href).searchParams.get("strategy") ?? "";
    const choices = chartChoices.on(document.getElementById("chart-choices"), strategy, () => shown && drawChosen(tailOf(shown.chart.candles, shown.chart.candles)));
    const lines = indicators.on(made, choices.isShown);
    let funding = null;
    let settled = -1; // How many settlements are drawn.
    const signs = fills.on(element, made, candles);
    const rested = resting.on(made, candles);

    /** The candles fill the price scale. Near lines extend it; distant ones do not, so that the candles stay readable. */
    function scaled(original) {
      const own = original();
      if (!own?.priceRange || !shown) return own;
      const { minValue, maxValue } = own.priceRange;
      const room = Math.max(maxValue - minValue, maxValue * 0.001);
      const within = (share) => (price) => price !== null && price !== undefined
        && price > minValue - room * share && price < maxValue + room * share;
      const range = made.timeScale().getVisibleLogicalRange();
      const line = range ? lines.prices(Math.max(Math.floor(range.from), 0), Math.max(Math.ceil(range.to), 0)) : [];
      const kept = [...line.filter(within(NEAR_LINE)), ...levels.map((one) => one.options().price).filter(within(NEAR_LEVEL))];
      return { ...own, priceRange: { minValue: Math.min(minValue, ...kept), maxValue: Math.max(maxValue, ...kept) } };
    }

    function bar(one) {
      const rising = one.close >= one.open;
      const tint = rising ? "--up" : "--down";
      const dim = one.complete ? {} : { color: color(tint, 0.3), borderColor: color(tint, 0.55), wickColor: color(tint, 0.45) };
      return { time: seconds(one.open_time_ms), open: one.open, high: one.high, low: one.low, close: one.close, ...dim };
    }

    /** The average entry and the liquidation price of each position as lines, and a label for every resting price. */
    function drawLevels() {
      levels.splice(0).forEach((level) => candles.removePriceLine(level));
      const titled = !narrow && shown.positions.length <= TITLED_MAX;
      const level = (price, name, tint, options) => {
        if (price > 0) levels.push(candles.createPriceLine({ price, title: name, color: color(tint), lineWidth: 1, axisLabelVisible: true, axisLabelTextColor: color("--on-accent"), ...options }));
      };
      for (const one of shown.positions) {
        level(one.entry_price_usdt, narrow ? "" : `${one.strategy}: ${one.side} entry`, "--accent", { lineStyle: 0 });
        if (titled) level(one.liquidation_price_usdt, "liquidation price", "--warn", { lineStyle: 1 });
      }
      const rests = shown.resting.filter((one) => !one.until_ms);
      const sole = (one) => one.role === "target" && rests.filter((other) => other.role === "target" && other.strategy === one.strategy).length === 1;
      for (const one of rests) {
        const name = `${one.strategy}: ${one.role === "entry" ? `${one.side} order` : sole(one) ? "target" : resting.named(one)}`;
        level(one.price_usdt, titled ? name : "", resting.tint(one), { lineVisible: false });
      }
    }

    function fundingSeries() {
      const found = made.addSeries(
        LightweightCharts.HistogramSeries,
        { ...quiet, base: 0, priceFormat: { type: "custom", formatter: (value) => `${number(value, 3)} %`, minMove: 0.001 } },
        made.panes().length,
      );
      const pane = made.panes().at(-1);
      found.priceScale().applyOptions({ scaleMargins: { top: 0.3, bottom: 0.16 } });
      pane.setStretchFactor(0.24);
      title(pane, "Funding rate");
      return found;
    }

    function drawFunding() {
      const points = shown.chart.funding.map(({ settled_at_ms: atMs, rate }) => ({
        time: seconds(atMs), value: rate * 100, color: color(rate < 0 ? "--down" : "--up", 0.8),
      }));
      if (funding && !choices.isShown("Funding")) {
        made.removeSeries(funding);
        funding = null;
      } else if (points.length && choices.isShown("Funding")) {
        funding ??= fundingSeries();
      }
      const known = new Set(shown.chart.candles.map((one) => seconds(one.open_time_ms)));
      const step = shown.chart.timeframe_ms / 1000;
      const placed = ordered(points.map((one) => ({ ...one, time: Math.floor(one.time / step) * step })).filter((one) => known.has(one.time)));
      if (funding && placed.length !== settled) funding.setData(placed);
      settled = funding ? placed.length : -1;
    }

    function describe(time) {
      const all = shown.chart.candles;
      const index = time === undefined ? all.length - 1 : resting.indexAt(all, time * 1000);
      const one = all[index];
      if (!one) return;
      const digits = shown.decimals;
      const parts = [
        ["", utc(seconds(one.open_time_ms))], ["O", number(one.open, digits)], ["H", number(one.high, digits)], ["L", number(one.low, digits)],
        ["C", number(one.close, digits), one.close >= one.open ? "up" : "down"], ["Vol", number(one.volume, 1)],
      ];
      parts.push(...lines.legend(index, !one.complete));
      const settled = shown.chart.funding.findLast((other) => other.settled_at_ms < one.open_time_ms + shown.chart.timeframe_ms);
      if (settled) parts.push(["Funding", `${number(settled.rate * 100, 4)} %`]);
      const state = [!one.complete && "forming", one.late && "late"].filter(Boolean).join(", ");
      if (state) parts.push(["", state]);
      write(legend, parts);
    }

    const reader = cursor(element, made, () => candles, legend, (move) => {
      if (!shown) return;
      under = move.time;
      describe(under);
      signs.point(move);
    });

    // ---------------------------------------------------------------- history

    let fetching = true; // Until the first range is chosen.
    let complete = false;
    let empty = 1;
    let retry = 0;
    let gone = false; // Removed, for example to be drawn in the other theme, while more candles were on their way.

    /** Fetch more candles when an edge comes near; the newest ones arrive on their own. */
    async function reach(range) {
      if (!range || !shown?.chart.candles.length || fetching) return;
      const count = shown.chart.candles.length;
      if (range.from < EDGE_BARS && !complete && count < KEPT_MAX) await fetchOnce(older);
      else if (range.to > count - EDGE_BARS && !shown.is_newest && empty < EMPTY_MAX) await fetchOnce(newer);
    }

    async function fetchOnce(part) {
      fetching = true;
      try {
        if (!(await part())) retry = setTimeout(() => reach(made.timeScale().getVisibleLogicalRange()), RETRY_MS); // No answer: try again.
      } finally {
        fetching = false;
      }
    }

    async function older() {
      const found = await before(shown.chart.candles[0].open_time_ms).catch(() => null);
      if (gone) return true;
      if (found === null || found.chart.plot?.pending) return false;
      complete = found.chart.candles.length === 0;
      if (!complete) show(joined(found, shown));
      return true;
    }

    /** Add the candles after the last one; a stretch without any is skipped by asking further ahead. */
    async function newer() {
      const { candles: bars, timeframe_ms: step } = shown.chart;
      const fetched = shown.chart.plot ? FETCHED_WITH_READINGS : FETCHED;
      const found = await before(bars.at(-1).open_time_ms + step * (1 + fetched * empty)).catch(() => null);
      if (gone) return true;
      if (found === null || found.chart.plot?.pending) return false;
      const range = made.timeScale().getVisibleLogicalRange();
      const next = joined(shown, found);
      empty = next.chart.candles.at(-1) === bars.at(-1) && !found.is_newest ? empty * 2 : 1;
      show(next);
      const place = (list, one) => Math.max(resting.indexAt(list, one.open_time_ms), 0);
      const moved = place(next.chart.candles, bars[0]) - place(bars, next.chart.candles[0]);
      made.timeScale().setVisibleLogicalRange({ from: range.from + moved, to: range.to + moved });
      return true;
    }

    made.timeScale().subscribeVisibleLogicalRangeChange(reach);

    let asking = 0;

    /** Ask again for readings for which the log is still being read. */
    function askAgain() {
      const address = new URL(window.location.href);
      address.searchParams.set("part", "picture");
      htmx.ajax("GET", `${address.pathname}${address.search}`, { target: "#part-picture", swap: "innerHTML" });
    }

    function update(found) {
      clearTimeout(asking);
      if (found.chart.plot?.pending) asking = setTimeout(askAgain, RETRY_MS);
      if (shown === null) {
        show(found);
        const last = found.chart.candles.length;
        const bars = Math.min(Math.max(Math.floor(element.clientWidth / BAR_PX), BARS_MIN), BARS_MAX);
        fetching = false;
        made.timeScale().setVisibleLogicalRange(found.focus ? around(found, bars) : { from: last - bars, to: last + 2 });
      } else if (shown.is_newest) {
        show(joined(shown, found)); // Newer candles do not continue those of a chosen time.
      } else if (found.chart.plot && !found.is_newest) {
        show(found);
      }
    }

    /** The bars around the time or the trade that was chosen: a third before it, the rest after. */
    function around({ chart: { candles: bars }, focus }, width) {
      const from = Math.max(resting.indexAt(bars, focus.from_ms), 0);
      const length = Math.max(resting.indexAt(bars, focus.until_ms) - from, 0);
      const begin = from - Math.max((width - length) / 3, 3);
      return { from: begin, to: begin + Math.max(width, length * 1.5 + 9) };
    }

    /** The first candle at which a chart differs from the previous one, and how many candles that has; 0 if much is new. */
    function tailOf(earlier, later) {
      const same = (one, other) => one === other || (one && ["open_time_ms", "close", "high", "low", "volume", "complete"].every((name) => one[name] === other[name]));
      const first = later.findIndex((one, index) => !same(earlier[index], one));
      const from = Math.max(Math.min(first < 0 ? later.length : first, earlier.length - 1), 0);
      return { from: later.length - from > TAIL_MAX || earlier.length > later.length ? 0 : from, count: earlier.length };
    }

    function show(found) {
      const tail = tailOf(shown?.chart.candles ?? [], found.chart.candles);
      if (shown?.chart.plot?.lines.length !== found.chart.plot?.lines.length) tail.from = 0;
      shown = found;
      choices.offer((found.chart.plot?.lines ?? []).map((one) => one.name));
      candles.applyOptions({ priceFormat: { type: "custom", formatter: (value) => number(value, found.decimals), minMove: 1 / 10 ** found.decimals } });
      setTail(candles, found.chart.candles, tail, bar);
      setTail(volume, found.chart.candles, tail, (one) => ({
        time: seconds(one.open_time_ms), value: one.volume, color: color(one.close >= one.open ? "--up" : "--down", one.complete ? 0.28 : 0.14),
      }));
      drawLevels();
      drawChosen(tail);
    }

    /** Draw what the reader chose in addition to the candles. */
    function drawChosen(tail) {
      candles.priceScale().applyOptions({ mode: LightweightCharts.PriceScaleMode[choices.isLogarithmic() ? "Logarithmic" : "Normal"] });
      volume.applyOptions({ visible: choices.isShown("Volume") });
      lines.update(shown.chart, shown.decimals, tail);
      drawFunding();
      describe(under);
      signs.update(choices.isShown("Trades") ? shown : { ...shown, trades: [], positions: [] });
      rested.update(choices.isShown("Orders") ? shown : { ...shown, resting: [] });
    }

    function remove() {
      gone = true;
      clearTimeout(asking);
      clearTimeout(retry);
      reader.remove();
      signs.remove();
      made.remove();
    }

    return { update, remove };
  }

  keepDrawn("candles-plot", "candles-data", ["part-picture"], draw);
})();
