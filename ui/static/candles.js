// The chart of one symbol: candles, volume, indicators, fills and resting prices; funding in a pane of its own.
(() => {
  "use strict";
  const { color, seconds, ordered, chart, title, number, utc, write, cursor, keepDrawn } = palette;
  const legend = document.getElementById("candles-legend");
  const BAR_PX = 7.5;
  const BARS_MAX = 140;
  const BARS_MIN = 32;
  const NARROW_PX = 600;
  const TITLED_MAX = 2;
  /** A line extends the price scale if it lies within this share of the candles' height above or below them. */
  const NEAR_LINE = 0.2;
  const NEAR_LEVEL = 1;
  /** The distance in bars from the left edge at which older candles are fetched, and the most candles kept. */
  const EDGE_BARS = 30;
  const KEPT_MAX = 12_000;
  const RETRY_MS = 5_000;

  /** Fetch this chart's data before a time. */
  async function before(atMs) {
    const address = new URL(window.location.href);
    address.searchParams.set("part", "picture");
    address.searchParams.set("before_ms", atMs);
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
      trades: [...newer.trades, ...older.trades.filter((one) => !known.has(one.seq))],
      resting: resting.joined(older.resting, newer.resting),
      chart: {
        ...newer.chart, candles: both("candles"), vwap: both("vwap"), rsi: both("rsi"),
        plot: indicators.joined(older.chart, newer.chart, [begin, end]),
        funding: [...older.chart.funding.filter((one) => one.settled_at_ms < firstMs), ...newer.chart.funding],
      },
    };
  }

  function draw(element) {
    const made = chart(element);
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
    const lines = indicators.on(made);
    let funding = null;
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
        if (price > 0) levels.push(candles.createPriceLine({ price, title: name, color: color(tint), lineWidth: 1, axisLabelVisible: true, ...options }));
      };
      for (const one of shown.positions) {
        level(one.entry_price_usdt, narrow ? "" : `${one.side} entry, strategy ${one.strategy}`, "--accent", { lineStyle: 0 });
        if (titled) level(one.liquidation_price_usdt, "liquidation price", "--warn", { lineStyle: 1 });
      }
      for (const one of shown.resting.filter((other) => !other.until_ms)) {
        const name = one.role === "entry" ? `${one.side} order, strategy ${one.strategy}` : resting.named(one);
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
      if (points.length) funding ??= fundingSeries();
      const known = new Set(shown.chart.candles.map((one) => seconds(one.open_time_ms)));
      const step = shown.chart.timeframe_ms / 1000;
      funding?.setData(ordered(points.map((one) => ({ ...one, time: Math.floor(one.time / step) * step })).filter((one) => known.has(one.time))));
    }

    function describe(time) {
      const all = shown.chart.candles;
      const index = time === undefined ? all.length - 1 : all.findIndex((one) => seconds(one.open_time_ms) === time);
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

    let fetching = false;
    let complete = false;

    /** Fetch older candles when the left edge comes near. */
    async function reach(range) {
      if (!range || !shown?.chart.candles.length || range.from > EDGE_BARS || fetching || complete || shown.chart.candles.length >= KEPT_MAX) return;
      fetching = true;
      try {
        const found = await before(shown.chart.candles[0].open_time_ms).catch(() => null);
        const older = found?.chart.plot?.pending ? null : found;
        complete = older?.chart.candles.length === 0;
        if (older === null) setTimeout(() => reach(made.timeScale().getVisibleLogicalRange()), RETRY_MS); // No answer: try again.
        else if (!complete) show(joined(older, shown));
      } finally {
        fetching = false;
      }
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
      const first = shown === null;
      show(first ? found : joined(shown, found));
      if (first) {
        const last = found.chart.candles.length;
        const bars = Math.min(Math.max(Math.floor(element.clientWidth / BAR_PX), BARS_MIN), BARS_MAX);
        made.timeScale().setVisibleLogicalRange({ from: Math.max(last - bars, -2), to: last + bars * (found.positions.length && !narrow ? 0.12 : 0.04) });
      }
    }

    function show(found) {
      shown = found;
      candles.applyOptions({ priceFormat: { type: "custom", formatter: (value) => number(value, found.decimals), minMove: 1 / 10 ** found.decimals } });
      drawLevels();
      candles.setData(found.chart.candles.map(bar));
      volume.setData(
        found.chart.candles.map((one) => ({
          time: seconds(one.open_time_ms), value: one.volume, color: color(one.close >= one.open ? "--up" : "--down", one.complete ? 0.28 : 0.14),
        })),
      );
      lines.update(found.chart, found.decimals);
      drawFunding();
      describe(under);
      signs.update(found);
      rested.update(found);
    }

    function remove() {
      clearTimeout(asking);
      reader.remove();
      signs.remove();
      made.remove();
    }

    return { update, remove };
  }

  keepDrawn("candles-plot", "candles-data", ["part-picture"], draw);
})();
