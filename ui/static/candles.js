// The chart of one symbol: candles, volume, VWAP, fills, stops and targets; RSI and funding in panes of their own.
(() => {
  "use strict";
  const { color, seconds, ordered, chart, number, signed, keepDrawn } = palette;
  const legend = document.getElementById("candles-legend");

  function draw(element) {
    const made = chart(element);
    const up = color("--up");
    const down = color("--down");
    const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };
    const candles = made.addSeries(LightweightCharts.CandlestickSeries, {
      upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down,
      priceLineColor: color("--faint"),
    });
    const volume = made.addSeries(LightweightCharts.HistogramSeries, {
      ...quiet, priceScaleId: "volume", priceFormat: { type: "volume" },
    });
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.2 } });
    const vwap = made.addSeries(LightweightCharts.LineSeries, { ...quiet, color: color("--series-3"), lineWidth: 1 });
    const rsi = made.addSeries(LightweightCharts.LineSeries, { ...quiet, color: color("--series-1"), lineWidth: 1 }, 1);
    for (const level of [30, 70]) {
      rsi.createPriceLine({ price: level, color: color("--faint", 0.5), lineWidth: 1, lineStyle: 2, axisLabelVisible: false, title: "" });
    }
    let funding = null;
    const markers = LightweightCharts.createSeriesMarkers(candles, []);
    const levels = [];
    let shown = null;

    made.panes()[1].setStretchFactor(0.36);

    function bar(one) {
      const rising = one.close >= one.open;
      const tint = rising ? "--up" : "--down";
      const dim = one.complete ? {} : { color: color(tint, 0.3), borderColor: color(tint, 0.55), wickColor: color(tint, 0.45) };
      return { time: seconds(one.open_time_ms), open: one.open, high: one.high, low: one.low, close: one.close, ...dim };
    }

    function series(values) {
      return shown.chart.candles.map((one, index) => {
        const time = seconds(one.open_time_ms);
        return values[index] === null || values[index] === undefined ? { time } : { time, value: values[index] };
      });
    }

    function signs() {
      const step = shown.chart.timeframe_ms;
      const times = new Set(shown.chart.candles.map((one) => one.open_time_ms));
      const place = (atMs) => Math.floor(atMs / step) * step;
      const found = [];
      const sign = (atMs, more) => {
        // A fill happens at the open of a candle, an exit inside one.
        const at = place(atMs);
        if (times.has(at)) found.push({ time: seconds(at), ...more });
      };
      const entry = (one) => {
        const long = one.side === "long";
        sign(one.entry_time_ms, {
          position: long ? "belowBar" : "aboveBar", shape: long ? "arrowUp" : "arrowDown", color: color(long ? "--up" : "--down"),
        });
      };
      for (const one of shown.trades) {
        entry(one);
        sign(one.exit_time_ms - 1, {
          position: one.side === "long" ? "aboveBar" : "belowBar", shape: "circle", size: 0.6,
          color: color(one.net_usdt > 0 ? "--up" : "--down"), text: signed(one.net_usdt, 2),
        });
      }
      shown.positions.forEach(entry);
      return found.sort((one, other) => one.time - other.time);
    }

    function drawLevels() {
      levels.splice(0).forEach((level) => candles.removePriceLine(level));
      for (const one of shown.positions) {
        const level = (price, title, tint, lineStyle) => {
          if (price > 0) levels.push(candles.createPriceLine({ price, title, color: color(tint), lineWidth: 1, lineStyle, axisLabelVisible: true }));
        };
        level(one.entry_price_usdt, `${one.side} ${one.strategy}`, "--accent", 0);
        level(one.stop_price_usdt, "stop", "--down", 2);
        level(one.target_price_usdt, "target", "--up", 2);
      }
    }

    function drawFunding() {
      const points = shown.chart.funding.map(([atMs, rate]) => ({
        time: seconds(atMs), value: rate * 100, color: color(rate < 0 ? "--down" : "--up", 0.8),
      }));
      if (points.length && !funding) {
        funding = made.addSeries(
          LightweightCharts.HistogramSeries,
          { ...quiet, base: 0, priceFormat: { type: "custom", formatter: (value) => `${value.toFixed(3)} %`, minMove: 0.001 } },
          2,
        );
        made.panes()[2].setStretchFactor(0.2);
      }
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
        ["O", number(one.open, digits)], ["H", number(one.high, digits)], ["L", number(one.low, digits)], ["C", number(one.close, digits)],
        ["Vol", number(one.volume, 1)],
      ];
      if (shown.chart.vwap[index] != null) parts.push(["VWAP", number(shown.chart.vwap[index], digits)]);
      if (shown.chart.rsi[index] != null) parts.push(["RSI", number(shown.chart.rsi[index], 1)]);
      if (!one.complete) parts.push(["", "forming"]);
      if (one.late) parts.push(["", "late"]);
      legend.replaceChildren(
        ...parts.flatMap(([name, value]) => {
          const bold = document.createElement("b");
          bold.textContent = value;
          return [name ? `${name} ` : "", bold];
        }),
      );
    }

    made.subscribeCrosshairMove((move) => {
      if (shown) describe(move.time);
    });

    function update(found) {
      const first = shown === null;
      shown = found;
      candles.applyOptions({ priceFormat: { type: "custom", formatter: (value) => number(value, found.decimals), minMove: 1 / 10 ** found.decimals } });
      candles.setData(found.chart.candles.map(bar));
      volume.setData(
        found.chart.candles.map((one) => ({
          time: seconds(one.open_time_ms), value: one.volume, color: color(one.close >= one.open ? "--up" : "--down", one.complete ? 0.28 : 0.14),
        })),
      );
      vwap.setData(series(found.chart.vwap));
      rsi.setData(series(found.chart.rsi));
      markers.setMarkers(signs());
      drawLevels();
      drawFunding();
      describe();
      if (first) {
        const last = found.chart.candles.length;
        made.timeScale().setVisibleLogicalRange({ from: Math.max(last - 140, -2), to: last + 4 });
      }
    }

    return { update, remove: () => made.remove() };
  }

  keepDrawn("candles-plot", "candles-data", "part-picture", draw);
})();
