"use strict";
/* Tables that sort, and the plots. What stands in `data` is shown as text, or was escaped for Plotly. */
const data = JSON.parse(document.getElementById("data").textContent);
document.documentElement.classList.add("js");

/* The best first, then the worst first, then as before; what is missing stays last. */
const { compare: alphabetically } = new Intl.Collator(undefined, { numeric: true });
function ordered(rows, column, sign) {
  const value = ({ cells: { [column]: cell } }) => (column ? Number(cell.dataset.value ?? NaN) : cell.textContent);
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (!column) return sign * alphabetically(a, b);
    return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : a === b ? 0 : sign * (a - b);
  });
}
for (const table of document.querySelectorAll("table")) {
  const rows = [...table.tBodies[0].rows];
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const [now, first] = [heading.ariaSort, heading.dataset.first];
      const next = !now ? first : now === first ? { ascending: "descending", descending: "ascending" }[first] : null;
      for (const other of table.querySelectorAll("th[aria-sort]")) other.ariaSort = null;
      heading.ariaSort = next;
      table.tBodies[0].append(...(next ? ordered(rows, heading.cellIndex, next === "ascending" ? 1 : -1) : rows));
    });
  }
}

/* A plot in the page's font; its text and lines have the page's colours by CSS. */
function draw(element, traces, { xaxis, yaxis, ...layout }) {
  const axis = { zeroline: false, automargin: true };
  Plotly.react(element, traces, {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", hovermode: "closest", showlegend: true,
    margin: { l: 60, r: 12, t: 8, b: 44 }, font: { family: getComputedStyle(document.body).fontFamily, size: 12 },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", ...layout,
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
  }, { displayModeBar: false, responsive: true, showTips: false });
}
const redraw = (layout) => document.querySelectorAll(".js-plotly-plot").forEach((figure) => Plotly.relayout(figure, layout(figure)));
addEventListener("beforeprint", () => redraw((figure) => ({ width: Math.min(figure.matches(".chart") ? 215 : 680, figure.clientWidth) })));
addEventListener("afterprint", () => redraw(() => ({ autosize: true, width: null })));
document.querySelectorAll(".chart").forEach((element, index) => draw(element, data.charts[index].traces, data.charts[index].layout));

/* The plot of any two metrics: everything that has a value of both. */
if (data.plot) {
  const [title, figure, benchmark, x, y, bars] =
    ["h2", ".plot", ".benchmark", ".x", ".y", ".bars"].map((part) => document.querySelector(`#plot ${part}`));
  const interval = (ends, color) =>
    ends && bars.checked ? { symmetric: false, arrayminus: [ends[0]], array: [ends[1]], color: `${color}66`, thickness: 1, width: 0 } : {};
  function range(traces, letter) {
    const values = traces.filter(({ visible }) => visible === true).flatMap((trace) => trace[letter]).filter((value) => value !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low) * 0.15 || Math.abs(high) * 0.05 || 1;
    return values.length ? [low - margin, high + margin] : undefined;
  }
  function axis(name, traces, letter) {
    const { title, unit, higher } = data.metrics[name];
    const better = { true: `, more is better ${letter === "x" ? "→" : "↑"}`, false: `, less is better ${letter === "x" ? "←" : "↓"}` };
    return { title: { text: `${title}${unit && ` (${unit})`}${better[higher] ?? ""}`, standoff: 8 }, range: range(traces, letter) };
  }
  function plot() {
    const [a, b] = [x.value, y.value];
    const traces = data.plot.traces[benchmark.value].filter(({ values }) => values[a] && values[b]).map(({ values, text, intervals, far, ...trace }) => ({
      x: values[a], y: values[b], hoverinfo: "text", hovertext: trace.notes.map((note, i) => [note, text[a][i], text[b][i]].join("<br>")),
      error_x: interval(intervals?.[a], trace.marker.color), error_y: interval(intervals?.[b], trace.marker.color),
      visible: far[a] || far[b] ? "legendonly" : true, ...trace,
    }));
    const legend = { orientation: "h", y: -0.15, yanchor: "top" };
    draw(figure, traces, { height: 460, legend, xaxis: axis(a, traces, "x"), yaxis: axis(b, traces, "y") });
    const [{ kind, title: across }, { kind: other, title: up }] = [data.metrics[a], data.metrics[b]];
    title.textContent = kind && other && kind !== other ? "Perception and distortion" : `${across} and ${up}`;
  }
  const titled = (metric) => data.metrics[metric].title;
  for (const [select, values, text] of [[benchmark, Object.keys(data.plot.traces), String], [x, data.plot.measured, titled], [y, data.plot.measured, titled]]) {
    select.append(...values.map((name) => new Option(text(name), name)));
    select.addEventListener("change", plot);
  }
  [x.value, y.value] = [data.plot.x, data.plot.y];
  bars.addEventListener("change", plot);
  plot();
  figure.on("plotly_restyle", () => Plotly.relayout(figure, { "xaxis.range": range(figure.data, "x"), "yaxis.range": range(figure.data, "y") }));
}
