/* The pictures: one bar says of all which sides are shown and how, another which pictures, in which order. */
{
  const [list, bar, choice] = ["picture-list", "picture-bar", "picture-choice"].map((id) => document.getElementById(id));
  const articles = [...list.querySelectorAll(".picture")];
  const find = (name) => bar.querySelector(`.${name}`) ?? choice.querySelector(`.${name}`);
  const [left, right, mode, zoom, benchmark, order] = ["left", "right", "mode", "zoom", "benchmark", "order"].map(find);
  const mixed = () => (zoom.value = "");
  const frames = articles
    .filter((article) => article.querySelector(".stage"))
    .map((article) => pictureFrame(article, mixed));
  const help = {
    slide: "Drag the divider.",
    flip: "Press and hold a picture to see its right side in place of the left one.",
    difference: "Black is where the two sides are equal.",
  };
  const more = matchMedia("(pointer: coarse)").matches
    ? "Pinch or tap twice to zoom, then drag. The enlarged squares show the place that you tap."
    : "Ctrl and wheel or a double click zooms; then drag. The enlarged squares follow the pointer. " +
      "Keys: + − 0 zoom, arrows move, Space swaps the sides while it is held.";

  // The sides: names of one picture may lack where a model failed on it.
  const known = frames.flatMap(({ titles }) => titles);
  const longest = frames.reduce((most, { titles }) => (titles.length > most.length ? titles : most), []);
  const titles = [...new Set([...longest, ...known])];
  const models = new Map();
  for (const { dataset } of list.querySelectorAll("figure[data-model]")) models.set(dataset.title, dataset.model);
  const networks = titles.filter((title) => models.has(title) && title !== "bicubic");
  const chosen = {};
  function show() {
    Object.assign(chosen, { left: left.value, right: right.value });
    const [way, gain] = mode.value.split(":");
    list.dataset.mode = way;
    list.style.setProperty("--gain", gain ?? 1);
    document.getElementById("picture-help").textContent = `${help[way]} ${more}`;
    for (const frame of frames) frame.choose(left.value, right.value, way, gain);
    arrange();
  }
  function choose(one, other, name) {
    // The same side twice: the two change places.
    if (one.value === other.value) other.value = chosen[name];
    show();
  }
  left.addEventListener("change", () => choose(left, right, "left"));
  right.addEventListener("change", () => choose(right, left, "right"));
  mode.addEventListener("change", show);
  bar.querySelector(".swap").addEventListener("click", () => {
    [left.value, right.value] = [right.value, left.value];
    show();
  });
  zoom.addEventListener("change", () => frames.forEach((frame) => frame.zoom(Number(zoom.value))));

  // Which pictures: those of a benchmark, by how far one side is ahead of the other.
  const values = new Map();
  const key = (...names) => JSON.stringify(names);
  for (const result of evaluation.results) values.set(key(result.model, result.benchmark, result.metric), result.pictures);
  function value(title, article, metric) {
    const found = values.get(key(models.get(title), article.dataset.benchmark, metric)) ?? {};
    const own = Object.hasOwn(found, article.dataset.name) ? found[article.dataset.name] : null;
    return own === "inf" ? Infinity : own ?? NaN;
  }
  const how = new Map(frames.map(({ article }) => [article, ""]));
  function arrange() {
    const [side, metric] = order.value ? order.value.split(":") : [];
    const gap = (article) => value(right.value, article, metric) - value(left.value, article, metric);
    const ahead = (article) => {
      const lead = gap(article) * (side === "right" ? 1 : -1) * (metrics[metric].higher ? 1 : -1);
      return Number.isNaN(lead) ? -Infinity : lead;
    };
    // Equal leads (of -Infinity) must not give NaN.
    const leads = new Map(articles.map((article) => [article, metric ? ahead(article) : 0]));
    const compare = (one, other) => (leads.get(one) === leads.get(other) ? 0 : leads.get(other) - leads.get(one));
    const sorted = metric ? [...articles].sort(compare) : articles;
    if (sorted.some((article, index) => list.children[index] !== article)) list.append(...sorted);
    for (const article of articles) {
      article.hidden = benchmark.value !== "" && article.dataset.benchmark !== benchmark.value;
      const words = [how.get(article), metric && difference(metric, gap(article))];
      const live = article.querySelector(".live");
      if (live) live.textContent = words.filter(Boolean).map((text) => `; ${text}`).join("");
    }
  }
  function difference(metric, number) {
    const { title, digits, unit } = metrics[metric];
    if (Number.isNaN(number)) return `no ${title} of both sides`;
    const sign = number > 0 ? "+" : number < 0 ? "−" : "";
    const size = Number.isFinite(number) ? Math.abs(number).toFixed(digits) : "∞";
    return `${title} ${sign}${size}${unit ? ` ${unit}` : ""} from left to right`;
  }
  for (const select of [benchmark, order]) {
    select.addEventListener("change", () => {
      arrange();
      if (list.getBoundingClientRect().top < 0) list.scrollIntoView();
    });
  }

  const ordered = evaluation.metrics.filter((metric) =>
    evaluation.results.some(
      (result) => result.metric === metric && Object.values(result.pictures).some((found) => found !== null),
    ),
  );
  order.append(new Option("as they are", ""));
  for (const metric of ordered) {
    for (const side of ["right", "left"]) order.append(new Option(`${metrics[metric].title}: ${side} is ahead`, `${side}:${metric}`));
  }
  benchmark.append(new Option("all", ""), ...evaluation.benchmarks.map((name) => new Option(name, name)));
  order.closest("label").hidden = !(frames.length > 1 && ordered.length && networks.length);
  benchmark.closest("label").hidden = evaluation.benchmarks.length < 2;
  choice.hidden = order.closest("label").hidden && benchmark.closest("label").hidden;

  // A link to a picture that is left out shows it.
  addEventListener("hashchange", () => {
    const target = articles.find((article) => `#${article.id}` === location.hash);
    if (!target?.hidden) return;
    benchmark.value = "";
    arrange();
    target.scrollIntoView();
  });

  if (frames.length) {
    bar.hidden = false;
    fill(left, titles);
    fill(right, titles);
    const against = titles.find((title) => models.get(title) === evaluation.against);
    left.value = networks.includes(against) ? against : "bicubic";
    right.value = networks.findLast((title) => title !== left.value) ?? titles.findLast((title) => title !== left.value);
    let width = 0;
    const fit = () => {
      if (list.clientWidth === width || !list.clientWidth) return;
      width = list.clientWidth;
      const tall = Math.max(320, window.innerHeight * 0.86);
      for (const frame of frames) how.set(frame.article, frame.fit(width, tall));
      arrange();
    };
    show();
    fit();
    new ResizeObserver(fit).observe(list);
    const of = new Map(frames.map((frame) => [frame.article, frame]));
    const watch = (entries, observer) => {
      for (const { isIntersecting, target } of entries.filter((entry) => entry.isIntersecting)) {
        observer.unobserve(target);
        of.get(target).prepare();
      }
    };
    const observer = new IntersectionObserver(watch, { rootMargin: "400px" });
    frames.forEach(({ article }) => observer.observe(article));
    addEventListener("beforeprint", () => frames.forEach((frame) => frame.draw()));
  } else if (articles.length) arrange();
}
