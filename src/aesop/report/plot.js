/* The plot of any two metrics. */
if (plotted.length) {
  const section = document.getElementById("plot");
  const [figure, tip, legend] = ["svg", ".tip", ".legend"].map((part) => section.querySelector(part));
  const choice = Object.fromEntries(["benchmark", "x", "y", "intervals"].map((n) => [n, document.getElementById(`plot-${n}`)]));
  const [PAPER, REACH, ON_PAPER] = ["paper", 32, 680];
  const DASHES = ["", "7 4", "2 4", "9 4 2 4"];
  const key = (...names) => JSON.stringify(names);
  const results = new Map(evaluation.results.map((r) => [key(r.model, r.benchmark, r.metric), r]));
  const differences = new Map(evaluation.differences.map((d) => [key(d.model, d.benchmark, d.metric), d]));
  const mean = (model, benchmark, metric) => results.get(key(model, benchmark, metric))?.mean ?? null;
  const value = (metric, number) => `${typeset(number, metrics[metric].digits)} ${metrics[metric].unit}`.trim();
  const printed = (metric, number) => `${metrics[metric].title} ${value(metric, number)}`;
  const short = (text) => (text.length > 24 ? `${text.slice(0, 12)}…${text.slice(-11)}` : text);

  function element(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [attribute, text] of Object.entries(attributes)) made.setAttribute(attribute, text);
    made.append(...children);
    return made;
  }

  const use = ([, shape], attributes = {}) => element("use", { href: `#mark-${shape}`, ...attributes });

  /* Everything that has both values: {name, title, mark, points: [{x, y, text}]}; models may have `bars` as well. */
  function gather(benchmark, x, y) {
    const rows = (at) => [printed(x, at.x), printed(y, at.y)];
    const models = evaluation.models.flatMap((title) => {
      const at = { x: mean(title, benchmark, x), y: mean(title, benchmark, y) };
      if (!Number.isFinite(at.x) || !Number.isFinite(at.y)) return [];
      const bars = {}, told = rows(at);
      for (const [index, [axis, metric]] of [["x", x], ["y", y]].entries()) {
        const { difference, interval, against } = differences.get(key(title, benchmark, metric)) ?? {};
        if (!interval) continue;
        bars[axis] = interval.map((end) => at[axis] + end - difference);
        const digits = metrics[metric].digits;
        const signed = [difference, ...interval].map((end) => (end > 0 ? "+" : "") + typeset(end, digits));
        told[index] += `\n  from ${short(against)}: ${signed[0]} (${signed[1]} … ${signed[2]})`;
      }
      const { count, pictures } = [x, y].map((m) => results.get(key(title, benchmark, m))).sort((a, b) => a.count - b.count)[0];
      const all = Object.keys(pictures).length;
      if (count < all) told.push(`means of ${count} of ${all} pictures`);
      return [{ name: key(title), title, mark: marks[title], bars, points: [{ ...at, text: [title, ...told].join("\n") }] }];
    });
    const lines = curves.map(({ title, mark, points }, index) => ({
      name: key("curve", index), title, mark, dash: DASHES[index % DASHES.length],
      points: points.flatMap(({ note, means }) => {
        const at = { x: means[benchmark]?.[x], y: means[benchmark]?.[y] };
        return at.x === undefined || at.y === undefined ? [] : [{ ...at, text: [`${title}, ${note}`, ...rows(at)].join("\n") }];
      }),
    })).filter(({ points }) => points.length);
    const paper = (published[benchmark] ?? []).flatMap(({ title, values: { [x]: a, [y]: b } }) =>
      a === undefined || b === undefined ? [] : [{ name: PAPER, title, mark: ["paper", 0], small: true,
        points: [{ x: a, y: b, text: [title, ...rows({ x: a, y: b }), "as the paper prints it"].join("\n") }] }]);
    return { models, lines, paper };
  }

  /* Models without which an axis were less than half as long; a third of all at most, the farthest first. */
  function outliers(models, lines) {
    const far = new Set();
    while (far.size < Math.floor(models.length / 3)) {
      const near = models.filter(({ name }) => !far.has(name));
      const stretch = (one, axis) => {
        const others = [...near, ...lines].filter((other) => other !== one).flatMap(({ points }) => points.map((at) => at[axis]));
        const [low, high, own] = [Math.min(...others), Math.max(...others), one.points[0][axis]];
        return high > low ? (Math.max(high, own) - Math.min(low, own)) / (high - low) : 0;
      };
      const factors = near.map((one) => Math.max(stretch(one, "x"), stretch(one, "y")));
      const most = Math.max(...factors);
      if (most <= 2) break;
      far.add(near[factors.indexOf(most)].name);
    }
    return far;
  }

  /* The legend: a box to tick for everything that may be drawn. */
  const chosen = new Map([[PAPER, false]]);
  const boxes = new Map();
  function entry(name, title, picture) {
    const [label, box, text] = ["label", "input", "span"].map((tag) => document.createElement(tag));
    box.type = "checkbox";
    // Where a long name may break: Python's `breakable` says the same.
    text.append(...title.split(/(?<=[_\-/.])(?=[^_\-/.])/).flatMap((part) => [part, document.createElement("wbr")]));
    box.addEventListener("change", () => {
      chosen.set(name, box.checked);
      draw();
    });
    label.append(box, picture, text);
    legend.append(label);
    boxes.set(name, box);
  }
  const chip = (colour, box, ...parts) => element("svg", { class: `chip s${colour}`, viewBox: box, "aria-hidden": true }, ...parts);
  for (const title of evaluation.models) entry(key(title), title, chip(marks[title][0], "-7 -7 14 14", use(marks[title])));
  for (const [index, { title, mark }] of curves.entries()) {
    const line = element("path", { d: "M-16 0H16", "stroke-dasharray": DASHES[index % DASHES.length] });
    const picture = chip(mark[0], "-16 -7 32 14", line, element("circle", { r: 4 }));
    picture.classList.add("line");
    entry(key("curve", index), title, picture);
  }
  entry(PAPER, "what the paper prints", chip("paper", "-7 -7 14 14", element("circle", { r: 4 })));

  function axis(numbers, low, high) {
    const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    const margin = (most - least) * 0.1 || Math.abs(most) * 0.05 || 1;
    const [start, end] = [least - margin, most + margin];
    const rough = (end - start) / Math.max(4, Math.round(Math.abs(high - low) / (low < high ? 130 : 65)));
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const ticks = [];
    for (let tick = Math.ceil(start / step); tick * step <= end; tick++) ticks.push(tick * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return { at: (number) => low + ((number - start) / (end - start)) * (high - low), ticks, print: (tick) => typeset(tick, digits) };
  }

  let spots = []; // What can be pointed at: {name, px, py, text, node}, from left to right.
  let current = null; // The name of the one that Tab comes to.
  let width = 0;

  function draw(wanted = section.clientWidth) {
    const [benchmark, x, y] = ["benchmark", "x", "y"].map((name) => choice[name].value);
    const { models, lines, paper } = gather(benchmark, x, y);
    const far = outliers(models, lines.filter(({ name }) => chosen.get(name) ?? true));
    const on = ({ name }) => chosen.get(name) ?? !far.has(name);
    const there = new Set([...models, ...lines, ...paper].map(({ name }) => name));
    for (const [name, box] of boxes) {
      box.disabled = !there.has(name);
      box.checked = there.has(name) && on({ name });
      box.parentElement.hidden = box.disabled;
    }
    const [drawn, paths] = [[...models, ...paper].filter(on), lines.filter(on)];
    const barred = choice.intervals.checked ? drawn.filter(({ bars }) => bars && Object.keys(bars).length) : [];
    choice.intervals.parentElement.hidden = !models.some(({ bars }) => Object.keys(bars).length);
    tell(benchmark, x, y, models, on);

    width = Math.max(300, wanted);
    const height = Math.round(Math.min(540, Math.max(320, width * 0.45)));
    const edge = { left: 62, right: width - 22, top: 30, bottom: height - 50 };
    const held = figure.contains(document.activeElement);
    figure.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const decor = element("g", { "aria-hidden": true });
    const [dots, labels, ring] = [element("g", {}), element("g", { "aria-hidden": true }), element("circle", { class: "ring", r: 11 })];
    figure.replaceChildren(decor, dots, labels, ring);
    hide();
    const along = (name) => [
      ...[...drawn, ...paths].flatMap(({ points }) => points.map((at) => at[name])), ...barred.flatMap(({ bars }) => bars[name] ?? []),
    ];
    spots = [];
    if (!along("x").length) return;
    const [across, upwards] = [axis(along("x"), edge.left, edge.right), axis(along("y"), edge.bottom, edge.top)];
    frame(decor, edge, height, benchmark, x, y, across, upwards);

    const taken = []; // Boxes that no label may cover.
    const cover = (x1, x2, y1, y2, by) =>
      taken.push({ left: Math.min(x1, x2) - by, right: Math.max(x1, x2) + by, top: Math.min(y1, y2) - by, bottom: Math.max(y1, y2) + by });
    for (const part of decor.querySelectorAll(".corner")) {
      const box = part.getBBox();
      cover(box.x, box.x + box.width, box.y, box.y + box.height, 2);
    }
    const stroke = (kind, x1, x2, y1, y2) => {
      decor.append(element("line", { class: kind, x1, x2, y1, y2 }));
      cover(x1, x2, y1, y2, 2);
    };
    const [origin] = barred.length ? drawn.filter(({ title }) => title === evaluation.against && there.has(key(title))) : [];
    if (origin) {
      const [{ x: a, y: b }] = origin.points;
      stroke("guide", across.at(a), across.at(a), edge.top, edge.bottom);
      stroke("guide", edge.left, edge.right, upwards.at(b), upwards.at(b));
    }
    for (const { mark: [colour], bars, points: [at] } of barred) {
      const [px, py] = [across.at(at.x), upwards.at(at.y)];
      if (bars.x) stroke(`bar s${colour}`, ...bars.x.map(across.at), py, py);
      if (bars.y) stroke(`bar s${colour}`, px, px, ...bars.y.map(upwards.at));
    }
    const spot = (name, at, small, node) => {
      const [px, py] = [across.at(at.x), upwards.at(at.y)];
      for (const [attribute, text] of Object.entries({ role: "img", tabindex: -1, "aria-label": at.text.replace(/\s*\n\s*/g, ", ") }))
        node.setAttribute(attribute, text);
      node.setAttribute("transform", `translate(${px} ${py})`);
      dots.append(node);
      cover(px, px, py, py, small ? 5 : 8);
      spots.push({ name, px, py, text: at.text, node });
      node.addEventListener("focus", () => show(spots.find((one) => one.node === node)));
      node.addEventListener("blur", hide);
    };
    for (const { name, mark: [colour], dash, points } of paths) {
      const places = points.map((at) => [across.at(at.x), upwards.at(at.y)]);
      decor.append(element("polyline", { class: `s${colour}`, points: places.join(" "), "stroke-dasharray": dash }));
      places.slice(1).forEach(([px, py], index) => {
        const [fx, fy] = places[index];
        const steps = Math.ceil(Math.hypot(px - fx, py - fy) / 8) || 1;
        for (let i = 0; i <= steps; i++) {
          const [x1, y1] = [fx + ((px - fx) * i) / steps, fy + ((py - fy) * i) / steps];
          cover(x1, x1, y1, y1, 2);
        }
      });
      points.forEach((at, index) => {
        if (drawn.some(({ points: [own] }) => own.x === at.x && own.y === at.y)) return;
        spot(key(name, index), at, true, element("g", { class: `point s${colour}` }, element("circle", { r: 3.5 })));
      });
    }
    for (const { name, title, mark, small, points: [at] } of drawn) {
      const shape = small ? element("circle", { r: 4 }) : use(mark, { transform: "scale(1.2)" });
      spot(key(name, title), at, small, element("g", { class: `point s${mark[0]}` }, shape));
    }
    for (const { title, mark, small, points: [at] } of drawn) label(title, mark[0], small, across.at(at.x), upwards.at(at.y));
    spots.sort((one, other) => one.px - other.px || other.py - one.py);
    if (!spots.some(({ name }) => name === current)) current = spots[0].name;
    const tabbed = spots.find(({ name }) => name === current).node;
    tabbed.setAttribute("tabindex", 0);
    if (held) tabbed.focus({ preventScroll: true });

    /* A name beside its point where it covers nothing; where there is no such place, the legend has it. */
    function label(title, colour, small, px, py) {
      const text = element("text", { class: small ? "paper" : "model" }, short(title));
      labels.append(text);
      const size = text.getComputedTextLength();
      const places = [[11, 0], [-11 - size, 0], [-size / 2, -17], [-size / 2, 17], [9, -14], [9, 14], [-9 - size, -14], [-9 - size, 14]];
      const box = ([left, down]) => ({ left: px + left, right: px + left + size, top: py + down - 7, bottom: py + down + 7 });
      const free = places.map(box).find((one) => one.left >= edge.left && one.right <= edge.right && one.top >= edge.top && one.bottom <= edge.bottom &&
        !taken.some((other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom));
      if (!free) return text.remove();
      taken.push({ ...free, left: free.left - 5, right: free.right + 5 });
      text.setAttribute("x", free.left);
      text.setAttribute("y", free.top + 11.5);
    }
  }

  function frame(decor, edge, height, benchmark, x, y, across, upwards) {
    const text = (attributes, content) => decor.append(element("text", attributes, content));
    const title = (metric, arrow) =>
      `${metrics[metric].title}${metrics[metric].unit ? ` (${metrics[metric].unit})` : ""}, ${metrics[metric].higher ? "more" : "less"} is better ${arrow}`;
    for (const tick of across.ticks) {
      const place = across.at(tick);
      decor.append(element("line", { class: "grid", x1: place, x2: place, y1: edge.top, y2: edge.bottom }));
      text({ x: place, y: edge.bottom + 18, "text-anchor": "middle" }, across.print(tick));
    }
    for (const tick of upwards.ticks) {
      const place = upwards.at(tick);
      decor.append(element("line", { class: "grid", x1: edge.left, x2: edge.right, y1: place, y2: place }));
      text({ x: edge.left - 8, y: place + 4, "text-anchor": "end" }, upwards.print(tick));
    }
    const middle = (edge.top + edge.bottom) / 2;
    text({ x: (edge.left + edge.right) / 2, y: height - 8, "text-anchor": "middle" }, title(x, metrics[x].higher ? "→" : "←"));
    text({ x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, title(y, metrics[y].higher ? "→" : "←"));
    text({ class: "title", x: edge.left, y: 17 }, benchmark);
    const [right, up] = [metrics[x].higher ? 1 : -1, metrics[y].higher ? -1 : 1];
    const [cx, cy] = [right > 0 ? edge.right - 8 : edge.left + 8, up < 0 ? edge.top + 8 : edge.bottom - 8];
    const [tx, ty] = [cx - right * 24, cy - up * 24];
    decor.append(element("path", { class: "corner", d: `M${tx} ${ty}L${cx} ${cy}M${cx - right * 9} ${cy}H${cx}V${cy - up * 9}` }));
    text({ class: "corner", x: tx - right * 4, y: ty - up * 3 + 4, "text-anchor": right > 0 ? "end" : "start" }, "better");
  }

  /* What the plot does not show, in words. */
  function tell(benchmark, x, y, models, on) {
    const outside = models.filter((one) => !on(one)).map(({ title, points: [at] }) => `${title} (${value(x, at.x)}, ${value(y, at.y)})`);
    const known = new Set(models.map(({ title }) => title));
    const others = evaluation.models.filter((title) => !known.has(title));
    const lacking = others.filter((title) => [x, y].some((metric) => mean(title, benchmark, metric) === null));
    const lines = [
      ["Outside the plot", outside],
      ["Infinite here, every picture being equal to its reference", others.filter((title) => !lacking.includes(title))],
      ["Without both values here", lacking],
    ];
    document.getElementById("plot-missing").textContent =
      lines.filter(([, names]) => names.length).map(([what, names]) => `${what}: ${names.join(", ")}.`).join("\n");
    figure.setAttribute("aria-label", `${benchmark}: ${metrics[x].title} across, ${metrics[y].title} up; the arrow keys go from point to point`);
  }

  function show(spot) {
    const scale = figure.clientWidth / width;
    const here = spots.filter((other) => Math.hypot(other.px - spot.px, other.py - spot.py) < 6 && other !== spot);
    const more = here.length > 3 ? [`and ${here.length - 3} more points here`] : [];
    tip.textContent = [spot, ...here.slice(0, 3)].map(({ text }) => text).concat(more).join("\n\n");
    tip.hidden = false;
    for (const [edge, at, size, room] of [["left", spot.px, tip.offsetWidth, figure.clientWidth], ["top", spot.py, tip.offsetHeight, figure.clientHeight]]) {
      const [after, before] = [at * scale + 14, at * scale - 14 - size];
      tip.style[edge] = `${Math.max(0, after + size <= room ? after : before)}px`;
    }
    const ring = figure.querySelector(".ring");
    ring.setAttribute("transform", `translate(${spot.px} ${spot.py})`);
    ring.classList.add("seen");
  }

  function hide() {
    tip.hidden = true;
    figure.querySelector(".ring")?.classList.remove("seen");
  }

  function point(event) {
    const box = figure.getBoundingClientRect();
    const scale = width / box.width;
    const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const far = (spot) => Math.hypot(spot.px - px, spot.py - py);
    const nearest = spots.reduce((best, spot) => (!best || far(spot) < far(best) ? spot : best), null);
    if (nearest && far(nearest) < REACH) show(nearest);
    else hide();
  }

  figure.addEventListener("pointermove", point);
  figure.addEventListener("pointerdown", point);
  figure.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  figure.addEventListener("keydown", (event) => {
    const index = spots.findIndex(({ node }) => node === document.activeElement);
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -index, End: spots.length - 1 - index }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined || index < 0) return;
    event.preventDefault();
    const next = spots[(index + step + spots.length) % spots.length];
    spots[index].node.setAttribute("tabindex", -1);
    next.node.setAttribute("tabindex", 0);
    next.node.focus();
    current = next.name;
  });

  const measured = () => evaluation.metrics.filter((m) => evaluation.models.some((model) => Number.isFinite(mean(model, choice.benchmark.value, m))));
  let axes = [];
  function choose() {
    for (const select of [choice.x, choice.y]) fill(select, measured(), (metric) => metrics[metric].title);
    distinguish();
  }

  /* One metric on both axes tells nothing: the other axis takes what this one had. */
  function distinguish(changed = choice.x) {
    const other = changed === choice.x ? choice.y : choice.x;
    if (choice.x.value === choice.y.value) {
      const before = axes[changed === choice.x ? 0 : 1];
      const options = measured().filter((metric) => metric !== changed.value);
      other.value = options.includes(before) ? before : options[0];
    }
    axes = [choice.x.value, choice.y.value];
    draw();
  }

  section.hidden = false;
  fill(choice.benchmark, plotted);
  choose();
  const first = (names, otherwise) => names.find((name) => measured().includes(name)) ?? otherwise;
  choice.y.value = first(["lpips", "dists", "lpips-proxy", "niqe", "clip-iqa", "maniqa", "musiq"], measured().at(-1));
  choice.x.value = first(["psnr", "ssim"], measured()[0]);
  distinguish();
  choice.benchmark.addEventListener("change", choose);
  for (const select of [choice.x, choice.y]) select.addEventListener("change", () => distinguish(select));
  choice.intervals.addEventListener("change", () => draw());
  new ResizeObserver(() => section.clientWidth !== width && draw()).observe(section);
  addEventListener("beforeprint", () => draw(ON_PAPER));
  addEventListener("afterprint", () => draw());
}
