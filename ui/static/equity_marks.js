// Events on an equity chart: epochs as numbered lines, outages and starts as ticks at the bottom, trips and resets on the curve.
const equityMarks = (() => {
  "use strict";
  const { color, seconds, utc } = palette;
  const KINDS = {
    epoch: { tone: "accent", color: "--accent", sign: "┊", name: "configuration changed", names: "configuration changes" },
    kill: { tone: "down", color: "--down", sign: "▼", name: "kill switch", names: "kill switches", shape: "arrowDown", position: "aboveBar" },
    reset: { tone: "up", color: "--up", sign: "▲", name: "reset", names: "resets", shape: "arrowUp", position: "belowBar" },
    outage: { tone: "warn", color: "--warn", sign: "▬", name: "outage", names: "outages" },
    start: { tone: "flat", color: "--faint", sign: "❘", name: "start", names: "starts" },
  };
  /** Marks of one kind that are closer than this are merged into one. */
  const FOLD_PX = 18;
  const REACH_PX = 6;
  const TICK_PX = 5;
  const LINES_MAX = 6;

  /** A span of time in its two largest units. */
  function span(ms) {
    const minutes = Math.round(ms / 60_000);
    const parts = [[Math.floor(minutes / 1440), "d"], [Math.floor(minutes / 60) % 24, "h"], [minutes % 60, "m"]].filter(([count]) => count);
    return parts.slice(0, 2).map(([count, unit]) => `${count}${unit}`).join(" ") || "under 1m";
  }

  /** All marks of a picture at the times that its chart knows, oldest first; a start at the very beginning is omitted. */
  function of(picture, times) {
    const epochs = picture.epochs.map((one) => ({ kind: "epoch", at_ms: one.at_ms, until_ms: one.at_ms, text: one.text, number: one.number }));
    const known = (atMs) => times.find((time) => time >= seconds(atMs)) ?? times.at(-1);
    return [...picture.marks, ...epochs]
      .map((mark) => ({ ...mark, time: known(mark.at_ms), end: known(mark.until_ms || Infinity) }))
      .filter((mark) => mark.time !== undefined && (mark.kind !== "start" || mark.time !== times[0]))
      .sort((one, other) => one.at_ms - other.at_ms);
  }

  /** Merge marks of one kind that are near each other; `x` gives the position of a time. */
  function folded(marks, x) {
    const groups = [];
    const last = new Map();
    for (const mark of marks) {
      const [from, to] = [x(mark.time), x(mark.end)];
      if (from === null || to === null) continue;
      const open = last.get(mark.kind);
      if (open && from - open.to < FOLD_PX) {
        open.marks.push(mark);
        open.to = Math.max(open.to, to);
      } else {
        last.set(mark.kind, { kind: mark.kind, from, to: Math.max(to, from), marks: [mark] });
        groups.push(last.get(mark.kind));
      }
    }
    return groups;
  }

  /** A group in words: outages as one line with their total, other marks one by one. */
  function lines({ kind, marks }) {
    const { sign, name, names } = KINDS[kind];
    if (kind !== "outage") return marks.slice(-LINES_MAX).map((mark) => `${sign} ${name}: ${mark.text}`);
    const [lostMs, last] = [marks.reduce((sum, mark) => sum + Math.max(mark.until_ms - mark.at_ms, 0), 0), marks.at(-1)];
    const length = last.until_ms ? span(lostMs) : "not over yet";
    if (marks.length === 1) return [`${sign} ${name} of ${length}: ${last.text}`];
    return [`${sign} ${marks.length} ${names}, ${length} in all, the last at ${utc(seconds(last.at_ms))}`];
  }

  /** Add the marks to a chart: lines and ticks in the pane of `foot`, signs on the curve `series`. `update` takes marks. */
  function on(chart, foot, series) {
    let marks = [];
    let groups = [];
    const signs = LightweightCharts.createSeriesMarkers(series, []);

    function line(context, group, height) {
      const x = Math.round(group.from) + 0.5;
      const label = group.marks.map((mark) => mark.number).join(", ");
      context.strokeStyle = color("--accent", 0.55);
      context.setLineDash([3, 4]);
      context.beginPath();
      context.moveTo(x, 18);
      context.lineTo(x, height);
      context.stroke();
      const width = context.measureText(label).width + 10;
      context.fillStyle = color("--accent-ground");
      context.strokeStyle = color("--accent", 0.55);
      context.setLineDash([]);
      context.beginPath();
      context.roundRect(x - width / 2, 2.5, width, 15, 4);
      context.fill();
      context.stroke();
      context.fillStyle = color("--accent");
      context.fillText(label, x, 10.5);
    }

    function tick(context, group, height) {
      const width = Math.max(group.to - group.from, group.kind === "outage" ? TICK_PX : 1.5);
      context.fillStyle = color(KINDS[group.kind].color, 0.85);
      context.fillRect(group.from - (group.to > group.from ? 0 : width / 2), height - TICK_PX, width, group.kind === "outage" ? 3 : TICK_PX);
    }

    const draw = (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      groups = folded(marks, (time) => chart.timeScale().timeToCoordinate(time));
      context.font = `500 10px ${getComputedStyle(document.body).fontFamily}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (const group of groups) {
        if (group.kind === "epoch") line(context, group, mediaSize.height);
        else if (!KINDS[group.kind].shape) tick(context, group, mediaSize.height);
      }
    });
    let redraw = () => {};
    foot.attachPrimitive({
      attached: ({ requestUpdate }) => { redraw = requestUpdate; },
      updateAllViews: () => {},
      paneViews: () => [{ zOrder: () => "bottom", renderer: () => ({ draw }) }],
    });

    return {
      update(found) {
        marks = found;
        signs.setMarkers(marks.filter((mark) => KINDS[mark.kind].shape).map((mark) => {
          const kind = KINDS[mark.kind];
          return { time: mark.time, shape: kind.shape, position: kind.position, color: color(kind.color), size: 0.8 };
        }));
        redraw();
      },
      /** The marks at a place of the chart in words. */
      at: (x) => groups.filter((group) => x >= group.from - REACH_PX && x <= group.to + REACH_PX).flatMap(lines).slice(-LINES_MAX),
      /** The kinds of marks that are shown, for the legend: [sign, words, tone]. */
      key: () => Object.entries(KINDS).flatMap(([kind, { sign, name, names, tone }]) => {
        const count = marks.filter((mark) => mark.kind === kind).length;
        return count ? [[sign, count === 1 ? name : `${count} ${names}`, tone]] : [];
      }),
    };
  }

  return { of, on };
})();
