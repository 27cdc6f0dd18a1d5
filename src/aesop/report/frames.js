/* One picture: two of its sides in a frame that is zoomed and moved inside, and all sides at one spot beside it.
   This file gives the script `pictureFrame`, which pictures.js calls for each picture. */
const pictureFrame = (() => {
  const PATCH = 36; // HR pixels of a crop's side; gallery.py has it as well
  const COLUMN = 768; // the widest frame, in CSS pixels
  const ENOUGH = 480; // CSS pixels of the longer side from which on a picture is not enlarged at first
  const MOST = 16; // zoom
  const GRIP = 24; // CSS pixels at either side of the divider that take hold of it
  const SLACK = { mouse: 2 }; // CSS pixels that a press may stray before it is a drag; others 6
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function made(tag, name, text = "") {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  }

  /* `zoomed` is called when a visitor zooms this picture by itself. */
  return function pictureFrame(article, zoomed) {
    const stage = article.querySelector(".stage");
    const figures = [...stage.querySelectorAll("figure")];
    const images = figures.map((figure) => figure.querySelector("img"));
    const [width, height] = ["width", "height"].map((name) => Number(images[0].getAttribute(name)));
    const patch = Math.min(PATCH, width, height);
    const start = { x: Number(stage.dataset.x), y: Number(stage.dataset.y) };
    const view = { zoom: 1, x: 0, y: 0 }; // the picture's corner, in frames
    let spot = start; // HR pixels
    let scale = 1; // screen pixels of one HR pixel before zooming
    let shown = {};
    let mode = "slide";

    const layers = made("div", "sides");
    layers.append(...figures);
    const tags = { left: made("span", "tag left"), right: made("span", "tag right") };
    const range = made("input", "");
    Object.assign(range, { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
    const back = made("button", "back");
    back.type = "button";
    const square = made("span", "square");
    stage.append(layers, square, tags.left, tags.right, range, made("span", "divider"), back);
    stage.tabIndex = 0;
    stage.setAttribute("role", "group");
    stage.setAttribute("aria-describedby", "picture-help");
    images.forEach((image) => (image.draggable = false));

    const chips = article.querySelectorAll(".values .chip");
    const row = made("div", "crops");
    const canvases = figures.map((figure) => {
      const [crop, canvas, caption] = [made("figure", ""), made("canvas", ""), made("figcaption", "")];
      canvas.width = canvas.height = patch;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${figure.dataset.title}, ${patch} pixels enlarged`);
      const chip = chips[evaluation.models.indexOf(figure.dataset.model)];
      if (chip) caption.append(chip.cloneNode(true));
      caption.append(figure.dataset.title);
      caption.title = figure.dataset.title;
      crop.append(canvas, caption);
      row.append(crop);
      return canvas;
    });
    stage.after(row);

    function draw() {
      const [left, top] = [clamp(spot.x - patch / 2, 0, width - patch), clamp(spot.y - patch / 2, 0, height - patch)];
      canvases.forEach((canvas, index) => {
        const share = images[index].naturalWidth / width;
        const context = canvas.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(images[index], left * share, top * share, patch * share, patch * share, 0, 0, patch, patch);
      });
      stage.style.setProperty("--left", left / width);
      stage.style.setProperty("--top", top / height);
    }
    let waiting = false;
    function look(point) {
      spot = { x: ((point.x - view.x) / view.zoom) * width, y: ((point.y - view.y) / view.zoom) * height };
      if (!waiting) requestAnimationFrame(() => ((waiting = false), draw()));
      waiting = true;
    }

    function place() {
      view.x = clamp(view.x, 1 - view.zoom, 0);
      view.y = clamp(view.y, 1 - view.zoom, 0);
      for (const name of ["zoom", "x", "y"]) stage.style.setProperty(`--${name}`, view[name]);
      stage.classList.toggle("exact", scale * view.zoom >= 1);
      back.hidden = view.zoom === 1;
      back.textContent = `${Math.round(view.zoom * 10) / 10}× ✕`;
      back.setAttribute("aria-label", `Zoomed ${back.textContent.slice(0, -2)}: show the whole picture`);
    }
    function zoom(factor, point = { x: 0.5, y: 0.5 }) {
      const next = factor < 1.05 ? 1 : Math.min(factor, MOST);
      for (const axis of ["x", "y"]) view[axis] = point[axis] - ((point[axis] - view[axis]) / view.zoom) * next;
      view.zoom = next;
      place();
    }
    function zoomAlone(factor, point) {
      zoom(factor, point);
      zoomed();
    }
    function pan(x, y) {
      view.x += x;
      view.y += y;
      place();
    }

    function divide() {
      stage.style.setProperty("--at", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${range.value} % ${shown.left}, the rest ${shown.right}`);
    }
    range.addEventListener("input", divide);
    back.addEventListener("click", () => {
      stage.focus();
      zoomAlone(1);
    });

    function flip(on) {
      stage.classList.toggle("flipped", on);
    }
    const fingers = new Map();
    let press = null;
    let tapped = { time: -1000 };
    const at = (event) => {
      const box = stage.getBoundingClientRect();
      return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, box };
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button || back.contains(event.target)) return;
      const point = at(event);
      fingers.set(event.pointerId, point);
      press = fingers.size === 1 ? { x: event.clientX, y: event.clientY, point, does: null } : { does: "pinch" };
      if (mode === "flip") flip(fingers.size === 1);
    });
    stage.addEventListener("pointermove", (event) => {
      const point = at(event);
      const before = fingers.get(event.pointerId);
      if (!before) return void (event.pointerType === "mouse" && look(point));
      fingers.set(event.pointerId, point);
      if (press.does === "pinch") return pinch(event.pointerId, before, point);
      if (press.does === null) {
        const [x, y] = [Math.abs(event.clientX - press.x), Math.abs(event.clientY - press.y)];
        // A finger that goes up or down scrolls the page.
        if (Math.hypot(x, y) < (SLACK[event.pointerType] ?? 6) || (event.pointerType === "touch" && x < y)) return;
        const near = Math.abs(press.point.x - range.value / 100) * point.box.width <= GRIP;
        press.does = mode === "slide" && (near || view.zoom === 1) ? "divide" : "pan";
        stage.setPointerCapture(event.pointerId);
        stage.classList.add(press.does);
      }
      if (press.does === "pan") return pan(point.x - before.x, point.y - before.y);
      range.value = point.x * 100;
      divide();
    });
    function pinch(id, before, point) {
      const still = [...fingers].find(([other]) => other !== id)?.[1];
      if (!still) return;
      const apart = (one) => Math.hypot((one.x - still.x) * point.box.width, (one.y - still.y) * point.box.height);
      pan((point.x - before.x) / 2, (point.y - before.y) / 2);
      const middle = { x: (point.x + still.x) / 2, y: (point.y + still.y) / 2 };
      zoomAlone((view.zoom * apart(point)) / Math.max(apart(before), 1), middle);
    }
    const release = (event) => {
      if (!fingers.delete(event.pointerId)) return;
      if (event.type === "pointerup" && press.does === null) tap(event, press.point);
      stage.classList.remove("divide", "pan");
      flip(false);
    };
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, release);
    function tap(event, point) {
      look(point);
      const far = Math.hypot(event.clientX - tapped.x, event.clientY - tapped.y) > 20;
      const second = event.timeStamp - tapped.time < 350 && !far;
      if (second) zoomAlone(view.zoom > 1 ? 1 : 4, point);
      tapped = { time: second ? -1000 : event.timeStamp, x: event.clientX, y: event.clientY };
    }
    // Two fingers are ours, though one may scroll the page.
    const ours = (event) => event.touches.length > 1 && event.preventDefault();
    stage.addEventListener("touchmove", ours, { passive: false });
    stage.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault());
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomAlone(view.zoom * Math.exp(clamp(-event.deltaY, -40, 40) / 100), at(event));
    };
    stage.addEventListener("wheel", wheel, { passive: false });

    const arrows = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target === back) return;
      const { key } = event;
      if (key === " ") flip(true);
      else if (key === "+" || key === "=") zoomAlone(view.zoom * 2);
      else if (key === "-") zoomAlone(view.zoom / 2);
      else if (key === "0") zoomAlone(1);
      else if (key in arrows && event.target === stage && view.zoom > 1) pan(...arrows[key]);
      else return;
      event.preventDefault();
    });
    stage.addEventListener("keyup", (event) => event.key === " " && flip(false));
    stage.addEventListener("focusout", () => flip(false));

    place();
    return {
      article,
      titles: [...figures.map((figure) => figure.dataset.title)],
      draw,
      /* When it comes into sight: decode every side, so that flipping shows each at once, and draw the row. */
      prepare: () => Promise.allSettled(images.map((image) => image.decode())).then(draw),
      choose(left, right, how, gain) {
        shown = { left, right };
        mode = how;
        for (const [index, figure] of figures.entries()) {
          const role = ["left", "right"].find((name) => shown[name] === figure.dataset.title);
          for (const one of [figure, row.children[index]]) {
            if (role) one.dataset.role = role;
            else delete one.dataset.role;
          }
        }
        for (const name of ["left", "right"]) {
          const there = figures.some((figure) => figure.dataset.role === name);
          tags[name].textContent = there ? shown[name] : `${shown[name]}: none here`;
          tags[name].title = shown[name];
        }
        if (mode === "difference") tags.left.textContent = `|${left} − ${right}| × ${gain}`;
        range.setAttribute("aria-label", `Divider between ${left} and ${right}`);
        stage.setAttribute("aria-label", `${images[0].alt.replace(/, LR$/, "")}: ${left} and ${right}`);
        divide();
      },
      zoom(factor) {
        // Whole screen pixels for every pixel.
        const exact = scale < 1 && factor > 1 ? Math.max(Math.round(scale * factor), 1) / scale : factor;
        if (view.zoom > 1 || factor === 1) return zoom(exact);
        Object.assign(view, { x: 0.5 - start.x / width, y: 0.5 - start.y / height });
        zoom(exact);
        if (spot === start) return;
        spot = start;
        draw();
      },
      /* Give the frame the largest whole multiple that there is room for; return how it is shown, in words. */
      fit(room, tall) {
        const pixels = window.devicePixelRatio || 1;
        const most = Math.min(Math.min(room, COLUMN) / width, tall / height) * pixels;
        scale = most < 1 ? most : Math.min(Math.floor(most), Math.ceil((ENOUGH * pixels) / Math.max(width, height)));
        stage.style.setProperty("--frame-width", `${(width * scale) / pixels}px`);
        stage.style.setProperty("--frame-height", `${(height * scale) / pixels}px`);
        stage.style.setProperty("--ratio", width / height);
        stage.style.setProperty("--patch-width", patch / width);
        stage.style.setProperty("--patch-height", patch / height);
        article.style.setProperty("--tall", `${Math.round((height * scale) / pixels) + 130}px`);
        place();
        if (scale === 1) return "";
        return scale > 1 ? `enlarged ${scale} ×` : `shown at ${Math.round(scale * 100)} %; zoom to see every pixel`;
      },
    };
  };
})();
