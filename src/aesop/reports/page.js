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

/* What scrolls sideways is reached by the keyboard; what is closed on the screen is open on paper. */
const scrolling = new ResizeObserver((entries) => entries.forEach(({ target }) => (target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1)));
for (const wide of document.querySelectorAll(".wide")) scrolling.observe(wide);
const closed = [...document.querySelectorAll("details")];
addEventListener("beforeprint", () => closed.forEach((one) => (one.open = true)));
addEventListener("afterprint", () => closed.forEach((one) => (one.open = false)));

/* A plot in the page's font; its text and lines have the page's colours by CSS. */
function draw(element, traces, { xaxis, yaxis, ...layout }) {
  const axis = { zeroline: false, automargin: true };
  Plotly.react(element, traces, {
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", hovermode: "closest", showlegend: true,
    margin: { l: 60, r: 12, t: 8, b: 44 }, font: { family: getComputedStyle(document.body).fontFamily, size: 12 },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", ...layout,
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
  }, { displayModeBar: false, responsive: true });
}
const figures = () => document.querySelectorAll(".js-plotly-plot");
addEventListener("beforeprint", () => figures().forEach((one) => Plotly.relayout(one, { width: Math.min(680, one.clientWidth) })));
addEventListener("afterprint", () => figures().forEach((one) => Plotly.relayout(one, { autosize: true, width: null })));
for (const [index, element] of document.querySelectorAll(".chart").entries()) draw(element, data.charts[index].traces, data.charts[index].layout);

/* The plot of any two metrics: everything that has a value of both. */
if (data.plot) {
  const [title, figure, hint, benchmark, x, y, bars] =
    ["h2", ".plot", ".hint", ".benchmark", ".x", ".y", ".bars"].map((part) => document.querySelector(`#plot ${part}`));
  function plot() {
    const [across, up] = [data.metrics[x.value], data.metrics[y.value]];
    const bar = ({ [x.value]: dx, [y.value]: dy } = {}, colour) => {
      const error = (ends) => ends && bars.checked ? { symmetric: false, arrayminus: [ends[0]], array: [ends[1]], color: `${colour}66`, thickness: 1, width: 0 } : {};
      return { error_x: error(dx), error_y: error(dy) };
    };
    const all = data.plot.traces[benchmark.value];
    const traces = all.filter(({ values }) => values[x.value] && values[y.value]).map(({ values, text, intervals, far, ...trace }) => ({
      x: values[x.value], y: values[y.value], ...trace, ...bar(intervals, trace.marker.color),
      hoverinfo: "text", hovertext: trace.notes.map((note, i) => [note, text[x.value][i], text[y.value][i]].join("<br>")),
      visible: trace.visible ?? (far[x.value] || far[y.value] ? "legendonly" : true),
    }));
    const range = (axis) => {
      const values = traces.filter(({ visible }) => visible === true).flatMap((trace) => trace[axis]).filter((value) => value !== null);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const margin = (high - low) * 0.15 || Math.abs(high) * 0.05 || 1;
      return values.length ? { range: [low - margin, high + margin] } : {};
    };
    const label = ({ title, unit, higher }, arrow) => ({ title: { text: `${title}${unit && ` (${unit})`}${higher === null ? "" : `, ${higher ? "more" : "less"} is better ${arrow}`}` } });
    draw(figure, traces, {
      height: 460, legend: { orientation: "h", y: -0.18, yanchor: "top" },
      xaxis: { ...label(across, across.higher ? "→" : "←"), ...range("x") }, yaxis: { ...label(up, up.higher ? "→" : "←"), ...range("y") },
    });
    const kinds = [across.kind, up.kind].sort().join();
    title.textContent = kinds === "distortion,perception" ? "Perception and distortion" : `${across.title} and ${up.title}`;
    const missing = all.length - traces.length;
    hint.textContent = "A click in the legend shows or hides; drag to zoom, double-click to reset. What is far from the others is hidden at first." +
      (missing ? ` ${missing} without a finite value of both here.` : "");
  }
  for (const [select, values, text] of [
    [benchmark, Object.keys(data.plot.traces), (name) => name],
    [x, data.plot.measured, (name) => data.metrics[name].title],
    [y, data.plot.measured, (name) => data.metrics[name].title],
  ]) {
    select.append(...values.map((name) => new Option(text(name), name)));
    select.addEventListener("change", plot);
  }
  [x.value, y.value] = [data.plot.x, data.plot.y];
  bars.addEventListener("change", plot);
  plot();
}
