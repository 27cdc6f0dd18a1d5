/* The pictures. One bar says of all which sides are shown and how; each is a frame that zooms by itself as well. */
{
  const COLUMN = 768; // the widest frame, in CSS pixels
  const ENOUGH = 480; // CSS pixels of the longer side from which on a picture is not enlarged at first
  const MOST = 16; // zoom
  const GRIP = 24; // CSS pixels at either side of the divider that take hold of it
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const [list, bar, choice, help] = ["list", "bar", "choice", "help"].map((id) => document.getElementById(`picture-${id}`));
  const [left, right, mode, zoom, benchmark, order] = ["left", "right", "mode", "zoom", "benchmark", "order"].map(
    (name) => bar.querySelector(`.${name}`) ?? choice.querySelector(`.${name}`),
  );
  const articles = [...list.children];
  const frames = articles.filter((article) => article.querySelector(".stage")).map(frame);

  /* Two sides of a picture in a frame, and all sides at one spot beside it. */
  function frame(article) {
    const [stage, range, back] = [".stage", ".stage input", ".back"].map((part) => article.querySelector(part));
    const sides = [...stage.querySelectorAll("figure")];
    const images = sides.map((side) => side.querySelector("img"));
    const crops = [...article.querySelectorAll(".crops figure")];
    const [width, height] = ["width", "height"].map((name) => Number(images[0].getAttribute(name)));
    const patch = Math.min(data.patch, width, height);
    const view = { zoom: 1, x: 0, y: 0 }; // the picture's corner, in frames
    let spot = { x: Number(stage.dataset.x), y: Number(stage.dataset.y) }; // HR pixels
    let scale = 1; // screen pixels of one HR pixel before zooming
    let press = null;
    const set = (values) => Object.entries(values).forEach(([name, value]) => stage.style.setProperty(`--${name}`, value));
    const at = ({ clientX, clientY }, box = stage.getBoundingClientRect()) =>
      ({ x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height });

    function look(point) {
      if (point) spot = { x: ((point.x - view.x) / view.zoom) * width, y: ((point.y - view.y) / view.zoom) * height };
      const [x, y] = [clamp(spot.x - patch / 2, 0, width - patch), clamp(spot.y - patch / 2, 0, height - patch)];
      for (const [index, crop] of crops.entries()) {
        const [canvas, part] = [crop.querySelector("canvas"), images[index].naturalWidth / width];
        canvas.width = canvas.height = patch;
        const context = canvas.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(images[index], x * part, y * part, patch * part, patch * part, 0, 0, patch, patch);
      }
      set({ left: x / width, top: y / height });
    }
    function place() {
      for (const axis of ["x", "y"]) view[axis] = clamp(view[axis], 1 - view.zoom, 0);
      set({ ...view, at: `${range.value}%` });
      stage.classList.toggle("exact", scale * view.zoom >= 1);
      back.hidden = view.zoom === 1;
      back.textContent = `${Math.round(view.zoom * 10) / 10}× ✕`;
    }
    function magnify(factor, point = { x: 0.5, y: 0.5 }) {
      const next = factor < 1.05 ? 1 : Math.min(factor, MOST);
      for (const axis of ["x", "y"]) view[axis] = point[axis] - ((point[axis] - view[axis]) / view.zoom) * next;
      view.zoom = next;
      place();
    }
    function alone(factor, point) {
      magnify(factor, point);
      zoom.value = "";
    }
    const flip = (on) => stage.classList.toggle("flipped", on);

    stage.addEventListener("pointerdown", (event) => {
      if (event.button || event.target === back) return;
      press = { x: event.clientX, y: event.clientY, last: at(event), does: null };
      if (list.dataset.mode === "flip") flip(true);
    });
    stage.addEventListener("pointermove", (event) => {
      const point = at(event);
      if (!press) return void (event.pointerType === "mouse" && look(point));
      if (!press.does) {
        const [across, down] = [event.clientX - press.x, event.clientY - press.y].map(Math.abs);
        // A finger that goes up or down scrolls the page.
        if (Math.hypot(across, down) < (event.pointerType === "mouse" ? 2 : 6) || (event.pointerType === "touch" && across < down)) return;
        const near = Math.abs(press.last.x - range.value / 100) * stage.clientWidth <= GRIP;
        press.does = list.dataset.mode === "slide" && (near || view.zoom === 1) ? "divide" : "pan";
        stage.setPointerCapture(event.pointerId);
      }
      if (press.does === "divide") range.value = point.x * 100;
      else for (const axis of ["x", "y"]) view[axis] += point[axis] - press.last[axis];
      press.last = point;
      place();
    });
    for (const name of ["pointerup", "pointercancel", "focusout"]) {
      stage.addEventListener(name, () => {
        if (name === "pointerup" && press && !press.does) look(press.last);
        press = null;
        flip(false);
      });
    }
    stage.addEventListener("dblclick", (event) => event.target !== back && alone(view.zoom > 1 ? 1 : 4, at(event)));
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      alone(view.zoom * Math.exp(clamp(-event.deltaY, -40, 40) / 100), at(event));
    }, { passive: false });
    back.addEventListener("click", () => alone(1));
    range.addEventListener("input", place);
    const keys = { " ": () => flip(true), "+": () => alone(view.zoom * 2), "-": () => alone(view.zoom / 2), 0: () => alone(1) };
    const arrows = { ArrowLeft: ["x", 0.1], ArrowRight: ["x", -0.1], ArrowUp: ["y", 0.1], ArrowDown: ["y", -0.1] };
    stage.addEventListener("keydown", (event) => {
      const arrow = event.target === stage && view.zoom > 1 && arrows[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || event.target === back || !(arrow || keys[event.key])) return;
      if (arrow) view[arrow[0]] += arrow[1];
      else keys[event.key]();
      place();
      event.preventDefault();
    });
    stage.addEventListener("keyup", (event) => event.key === " " && flip(false));

    return {
      article, look, how: "", titles: sides.map((side) => side.dataset.title),
      prepare: () => Promise.allSettled(images.map((image) => image.decode())).then(() => look()),
      choose() {
        for (const [index, { dataset }] of sides.entries())
          dataset.role = crops[index].dataset.role = { [left.value]: "left", [right.value]: "right" }[dataset.title] ?? "";
        for (const select of [left, right]) {
          const there = this.titles.includes(select.value);
          stage.querySelector(`.tag.${select.className}`).textContent = there ? select.value : `${select.value}: none here`;
        }
        if (list.dataset.mode === "difference") stage.querySelector(".tag.left").textContent = `|${left.value} − ${right.value}|`;
        range.ariaLabel = stage.ariaLabel = `${article.dataset.name}: ${left.value} and ${right.value}`;
        place();
      },
      /* By the bar: around the spot to look at first, at whole screen pixels for every pixel. */
      magnify(factor) {
        if (view.zoom === 1) Object.assign(view, { x: 0.5 - spot.x / width, y: 0.5 - spot.y / height });
        magnify(scale < 1 && factor > 1 ? Math.max(Math.round(scale * factor), 1) / scale : factor);
      },
      /* The largest whole multiple that there is room for. */
      fit(room, tall) {
        const pixels = window.devicePixelRatio || 1;
        const most = Math.min(Math.min(room, COLUMN) / width, tall / height) * pixels;
        scale = most < 1 ? most : Math.min(Math.floor(most), Math.ceil((ENOUGH * pixels) / Math.max(width, height)));
        const [across, down] = [width, height].map((length) => (length * scale) / pixels);
        set({ "frame-width": `${across}px`, "frame-height": `${down}px`, ratio: width / height });
        set({ "patch-width": patch / width, "patch-height": patch / height });
        article.style.setProperty("--tall", `${Math.round(down) + 130}px`);
        place();
        this.how = scale > 1 ? `enlarged ${scale} ×` : scale < 1 ? `shown at ${Math.round(scale * 100)} %; zoom to see every pixel` : "";
      },
    };
  }

  /* Which pictures: those of a benchmark, by how far one side is ahead of the other. */
  const models = Object.fromEntries([...list.querySelectorAll("figure[data-model]")].map(({ dataset }) => [dataset.title, dataset.model]));
  function value(title, article, metric) {
    const [heading, ...rows] = article.querySelectorAll(".values tr");
    const column = [...(heading?.cells ?? [])].findIndex(({ dataset }) => dataset.metric === metric);
    return Number(rows[data.models.indexOf(models[title])]?.cells[column]?.dataset.value ?? NaN);
  }
  const gap = (article, metric) => value(right.value, article, metric) - value(left.value, article, metric);
  function arrange() {
    const [side, metric] = order.value.split(/:(.*)/);
    const lead = (article) => (gap(article, metric) || 0) * (side === "right" ? 1 : -1) * (data.metrics[metric].higher ? 1 : -1);
    list.append(...(metric ? [...articles].sort((one, other) => (lead(other) > lead(one)) - (lead(other) < lead(one))) : articles));
    for (const article of articles) article.hidden = benchmark.value !== "" && article.dataset.benchmark !== benchmark.value;
    for (const { article, how } of frames) {
      const words = [how, metric && difference(data.metrics[metric], gap(article, metric))].filter(Boolean);
      article.querySelector(".live").textContent = words.map((text) => `; ${text}`).join("");
    }
  }
  function difference({ title, digits, unit }, number) {
    const text = Math.abs(number).toFixed(digits).replace("Infinity", "∞");
    return isNaN(number) ? `no ${title} of both sides` : `${title} ${number < 0 ? "−" : "+"}${text}${unit && ` ${unit}`} from left to right`;
  }

  const helps = { slide: "Drag the divider.", flip: "Press and hold: the right side.", difference: "Black is where the two sides are equal." };
  let before = {};
  function show(changed) {
    // The same side twice: swap them.
    if (left.value === right.value) (changed === left ? right : left).value = before[changed === left ? "left" : "right"];
    before = { left: left.value, right: right.value };
    const [way, gain] = mode.value.split(":");
    list.dataset.mode = way;
    list.style.setProperty("--gain", gain ?? 1);
    help.textContent = `${helps[way]} A double click or Ctrl and wheel zooms; then drag. The enlarged squares follow the pointer.
      Keys: + − 0 zoom, arrows move, Space swaps.`;
    frames.forEach((one) => one.choose());
    arrange();
  }
  const options = (select, values, text = String) => select.append(...values.map((name) => new Option(text(name), name)));
  const titles = [...new Set(frames.flatMap((one) => one.titles))];
  for (const select of [left, right]) options(select, titles);
  [left.value, right.value] = [data.left, data.right].map((model, index) => (titles.includes(model) ? model : titles.at(index - 2)));
  if (left.value === right.value) right.selectedIndex = 0;
  for (const select of [left, right, mode]) select.addEventListener("change", () => show(select));
  bar.querySelector(".swap").addEventListener("click", () => {
    [left.value, right.value] = [right.value, left.value];
    show();
  });
  zoom.addEventListener("change", () => frames.forEach((one) => one.magnify(Number(zoom.value))));
  const known = new Set([...list.querySelectorAll("th[data-metric]")].map(({ dataset }) => dataset.metric).filter(Boolean));
  const ahead = ([side, metric]) => (metric ? `${data.metrics[metric].title}: ${side} is ahead` : "as they are");
  options(order, ["", ...[...known].flatMap((metric) => [`right:${metric}`, `left:${metric}`])], (name) => ahead(name.split(/:(.*)/)));
  options(benchmark, ["", ...new Set(articles.map(({ dataset }) => dataset.benchmark))], (name) => name || "all");
  benchmark.parentElement.hidden = benchmark.length < 3;
  for (const select of [benchmark, order]) select.addEventListener("change", arrange);
  bar.hidden = choice.hidden = !frames.length;
  if (frames.length) {
    show();
    let width = 0;
    new ResizeObserver(() => {
      if (!list.clientWidth || list.clientWidth === width) return;
      width = list.clientWidth;
      frames.forEach((one) => one.fit(width, Math.max(320, window.innerHeight * 0.86)));
      arrange();
    }).observe(list);
    const seen = new IntersectionObserver((entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        seen.unobserve(target);
        frames.find(({ article }) => article === target).prepare();
      }
    }, { rootMargin: "400px" });
    frames.forEach(({ article }) => seen.observe(article));
    addEventListener("beforeprint", () => frames.forEach((one) => one.look()));
  }
}
