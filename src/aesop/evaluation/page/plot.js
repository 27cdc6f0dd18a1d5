/* The plot of any two metrics. */
{
  const means = {};
  for (const { model, benchmark, metric, mean, interval, count, pictures } of evaluation.results) {
    if (typeof mean !== "number") continue;
    ((means[benchmark] ??= {})[metric] ??= {})[model] = { mean, interval, count, all: Object.keys(pictures).length };
  }
  const printed = (metric, number) =>
    `${metrics[metric].title} ${number.toFixed(metrics[metric].digits)} ${metrics[metric].unit}`.trim();

  function element(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, text] of Object.entries(attributes)) made.setAttribute(key, text);
    made.append(...children);
    return made;
  }

  /* What to draw: [{title, number, x, y, notes}] with x and y as {mean, interval}. */
  function gather(benchmark, x, y) {
    const [along, up] = [means[benchmark][x] ?? {}, means[benchmark][y] ?? {}];
    const points = evaluation.models.flatMap((title, number) => {
      if (!along[title] || !up[title]) return [];
      const partial = Math.min(along[title].count, up[title].count);
      const notes = partial < along[title].all ? [`measured on ${partial} of ${along[title].all} pictures`] : [];
      return [{ title, number, x: along[title], y: up[title], notes, kind: "" }];
    });
    return points;
  }

  function gatherPaper(benchmark, x, y) {
    const rows = (published[benchmark] ?? []).filter(({ values }) => x in values && y in values);
    return rows.map(({ title, values }) => ({
      title, x: { mean: values[x] }, y: { mean: values[y] }, notes: ["as the paper prints it"], kind: "paper",
    }));
  }

  function gatherCurves(benchmark, x, y) {
    return curves.map(({ title, points }, index) => ({
      title,
      number: evaluation.models.length + index,
      points: points.flatMap(({ note, means: of }) => {
        const [a, b] = [of[benchmark]?.[x], of[benchmark]?.[y]];
        return typeof a === "number" && typeof b === "number" ? [{ note, x: a, y: b }] : [];
      }),
    })).filter(({ points }) => points.length > 0);
  }

  function axis(numbers, low, high) {
    const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    const margin = (most - least) * 0.12 || Math.abs(most) * 0.05 || 1;
    const [start, end] = [least - margin, most + margin];
    const rough = (end - start) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const ticks = [];
    for (let tick = Math.ceil(start / step); tick * step <= end; tick++) ticks.push(tick * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return { at: (number) => low + ((number - start) / (end - start)) * (high - low), ticks, print: (t) => t.toFixed(digits) };
  }

  const section = document.getElementById("plot");
  const [figure, tip] = [section.querySelector("svg"), section.querySelector(".tip")];
  const choice = Object.fromEntries(["benchmark", "x", "y", "intervals"].map((n) => [n, document.getElementById(`plot-${n}`)]));
  const paper = document.getElementById("plot-paper");

  function draw() {
    const [benchmark, x, y] = [choice.benchmark.value, choice.x.value, choice.y.value];
    const withIntervals = choice.intervals.checked;
    paper.hidden = gatherPaper(benchmark, x, y).length === 0;
    const points = gather(benchmark, x, y);
    const lines = gatherCurves(benchmark, x, y);
    if (!paper.hidden && paper.firstElementChild.checked) points.push(...gatherPaper(benchmark, x, y));
    const lacking = evaluation.models.filter((model) => !points.some(({ title }) => title === model));
    document.getElementById("plot-missing").textContent = lacking.length ? `Without both values here: ${lacking.join(", ")}.` : "";
    const all = (name) => [
      ...points.flatMap((point) => [point[name].mean, ...((withIntervals && point[name].interval) || [])]),
      ...lines.flatMap((line) => line.points.map((point) => point[name])),
    ];
    const width = Math.max(320, Math.min(820, section.clientWidth));
    const height = Math.round(width * 0.4 + 150);
    const edge = { left: 64, right: width - 16, top: 14, bottom: height - 50 };
    figure.setAttribute("viewBox", `0 0 ${width} ${height}`);
    figure.replaceChildren();
    if (!all("x").length) return;
    const [across, upwards] = [axis(all("x"), edge.left, edge.right), axis(all("y"), edge.bottom, edge.top)];
    const label = (metric, more) =>
      `${metrics[metric].title}${metrics[metric].unit ? ` (${metrics[metric].unit})` : ""}, ${metrics[metric].higher ? "more" : "less"} is better ${more}`;
    for (const tick of across.ticks) {
      const place = across.at(tick);
      figure.append(element("line", { class: "grid", x1: place, x2: place, y1: edge.top, y2: edge.bottom }));
      figure.append(element("text", { x: place, y: edge.bottom + 18, "text-anchor": "middle" }, across.print(tick)));
    }
    for (const tick of upwards.ticks) {
      const place = upwards.at(tick);
      figure.append(element("line", { class: "grid", x1: edge.left, x2: edge.right, y1: place, y2: place }));
      figure.append(element("text", { x: edge.left - 8, y: place + 4, "text-anchor": "end" }, upwards.print(tick)));
    }
    const middle = (edge.top + edge.bottom) / 2;
    figure.append(element("text", { x: (edge.left + edge.right) / 2, y: height - 8, "text-anchor": "middle" }, label(x, metrics[x].higher ? "→" : "←")));
    figure.append(element("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` },
      label(y, metrics[y].higher ? "→" : "←")));
    figure.setAttribute("aria-label", `${benchmark}: ${points.map((p) => `${p.title}: ${describe(p, x, y)}`).join("; ")}`);
    for (const line of lines) {
      const path = line.points.map((point) => `${across.at(point.x)},${upwards.at(point.y)}`).join(" ");
      figure.append(element("polyline", { class: `s${line.number % 8}`, points: path }));
      for (const point of line.points) {
        const dot = element("g", { class: `point s${line.number % 8}`, tabindex: 0 },
          element("circle", { cx: across.at(point.x), cy: upwards.at(point.y), r: 4 }));
        explain(dot, across.at(point.x), upwards.at(point.y), `${line.title}, ${point.note}\n${printed(x, point.x)}\n${printed(y, point.y)}`);
        figure.append(dot);
      }
    }
    const dots = lines.flatMap((line) => line.points.map((point) => ({ x: across.at(point.x), y: upwards.at(point.y) })));
    place(points, dots, across, upwards, edge, withIntervals, x, y);
  }

  const describe = (point, x, y) => [printed(x, point.x.mean), printed(y, point.y.mean)].join(", ");

  /* Points, and labels that cover neither points nor each other: beside their point, else above or below. */
  function place(points, dots, across, upwards, edge, withIntervals, x, y) {
    const own = points.map((point) => ({ x: across.at(point.x.mean), y: upwards.at(point.y.mean) }));
    const taken = [...own, ...dots].map((at) => ({ left: at.x - 7, right: at.x + 7, top: at.y - 7, bottom: at.y + 7 }));
    const groups = points.map((point) => {
      const [px, py] = [across.at(point.x.mean), upwards.at(point.y.mean)];
      const group = element("g", { class: `point ${point.kind || `s${point.number % 8}`}`, tabindex: 0 });
      if (withIntervals && point.x.interval) {
        group.append(element("line", { x1: across.at(point.x.interval[0]), x2: across.at(point.x.interval[1]), y1: py, y2: py }));
      }
      if (withIntervals && point.y.interval) {
        group.append(element("line", { x1: px, x2: px, y1: upwards.at(point.y.interval[0]), y2: upwards.at(point.y.interval[1]) }));
      }
      group.append(element("circle", { cx: px, cy: py, r: point.kind ? 4 : 6 }));
      const rows = [["x", x], ["y", y]].map(([name, metric]) => {
        const ends = point[name].interval;
        const digits = metrics[metric].digits;
        return printed(metric, point[name].mean) + (ends ? ` (${ends.map((end) => end.toFixed(digits)).join(" … ")})` : "");
      });
      explain(group, px, py, [point.title, ...rows, ...point.notes].join("\n"));
      figure.append(group);
      return group;
    });
    points.forEach((point, index) => {
      const [px, py] = [across.at(point.x.mean), upwards.at(point.y.mean)];
      const text = element("text", {}, point.title);
      groups[index].append(text);
      const size = text.getComputedTextLength();
      const box = (shift, left) => ({ left, right: left + size, top: py + shift - 8, bottom: py + shift + 6 });
      const candidates = [];
      for (let shift = 0; shift < 150; shift += 15) {
        for (const up of shift ? [shift, -shift] : [0]) candidates.push(box(up, px + 10), box(up, px - 10 - size));
      }
      const free = (one) => one.left >= 0 && one.right <= edge.right + 12 && one.top >= 0 && one.bottom <= edge.bottom &&
        !taken.some((other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom);
      const chosen = candidates.find(free) ?? candidates[0];
      taken.push(chosen);
      text.setAttribute("x", chosen.left);
      text.setAttribute("y", chosen.top + 12);
      if (Math.abs(chosen.top + 8 - py) > 15) {
        const end = chosen.left > px ? chosen.left : chosen.right;
        figure.prepend(element("line", { class: "leader", x1: px, y1: py, x2: end, y2: chosen.top + 8 }));
      }
    });
  }

  function explain(group, px, py, text) {
    const show = () => {
      const scale = figure.clientWidth / figure.viewBox.baseVal.width;
      tip.textContent = text;
      tip.hidden = false;
      const room = figure.clientWidth - tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(px * scale + 12, room))}px`;
      tip.style.top = `${py * scale + 14}px`;
    };
    group.setAttribute("aria-label", text.replaceAll("\n", ", "));
    for (const event of ["pointerenter", "focus"]) group.addEventListener(event, show);
    for (const event of ["pointerleave", "blur"]) group.addEventListener(event, () => (tip.hidden = true));
  }

  function chooseBenchmark() {
    const measured = evaluation.metrics.filter((metric) => means[choice.benchmark.value][metric]);
    for (const select of [choice.x, choice.y]) fill(select, measured, (metric) => metrics[metric].title);
    draw();
  }

  const plotted = evaluation.benchmarks.filter((benchmark) => means[benchmark]);
  if (plotted.length) {
    section.hidden = false;
    fill(choice.benchmark, plotted);
    chooseBenchmark();
    const first = (names) => names.find((name) => [...choice.x.options].some((option) => option.value === name));
    const perception = ["lpips", "dists", "lpips-proxy", "niqe", "clip-iqa", "maniqa", "musiq"];
    choice.y.value = first(perception) ?? choice.y.options[choice.y.length - 1].value;
    choice.x.value = first(["psnr", "ssim"]) ?? choice.x.value;
    draw();
    choice.benchmark.addEventListener("change", chooseBenchmark);
    for (const control of [choice.x, choice.y, choice.intervals, paper]) control.addEventListener("change", draw);
    addEventListener("resize", draw);
  }
}
