/* Sliders: two sides of a picture, one over the other, the upper one cut at the divider. */
{
  function slider(stage) {
    const sides = [...stage.querySelectorAll("figure")];
    const titles = sides.map((side) => side.dataset.title);
    const controls = document.createElement("div");
    controls.className = "controls";
    const [left, right] = ["Left", "Right"].map((name) => {
      const [label, select] = [document.createElement("label"), document.createElement("select")];
      fill(select, titles);
      label.append(`${name} `, select);
      controls.append(label);
      return select;
    });
    const [range, divider] = [document.createElement("input"), document.createElement("span")];
    Object.assign(range, { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
    divider.className = "divider";
    stage.append(range, divider);
    const look = document.createElement("div");
    look.className = "viewport";
    stage.replaceWith(look);
    look.append(stage);
    look.before(controls);

    const move = () => {
      stage.style.setProperty("--at", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${range.value} % ${left.value}, the rest ${right.value}`);
    };
    const change = () => {
      for (const side of sides) delete side.dataset.role;
      sides[right.selectedIndex].dataset.role = "right";
      sides[left.selectedIndex].dataset.role = "left";
      range.setAttribute("aria-label", `Divider between ${left.value} and ${right.value}`);
      move();
    };
    range.addEventListener("input", move);
    for (const select of [left, right]) select.addEventListener("change", change);
    return {
      titles,
      choose(which, title) {
        if (titles.includes(title)) (which === "left" ? left : right).value = title;
        change();
      },
      zoom(factor) {
        stage.style.setProperty("--zoom", factor);
        stage.classList.toggle("zoomed", factor > 1);
      },
    };
  }

  const sliders = [...document.querySelectorAll(".stage")].map(slider);
  if (sliders.length) {
    const bar = document.getElementById("all-pictures");
    bar.hidden = false;
    const known = sliders.flatMap(({ titles }) => titles);
    // The order of the picture that has most sides is LR, bicubic, the models and HR.
    const order = sliders.reduce((most, one) => (one.titles.length > most.titles.length ? one : most)).titles;
    const titles = [...new Set([...order, ...known])];
    const networks = order.filter((title) => !["LR", "HR", "bicubic"].includes(title));
    const start = { left: "bicubic", right: networks.at(-1) ?? order.at(-1) };
    for (const which of ["left", "right"]) {
      const select = bar.querySelector(`.${which}`);
      fill(select, titles);
      select.value = start[which];
      const choose = () => sliders.forEach((one) => one.choose(which, select.value));
      select.addEventListener("change", choose);
      choose();
    }
    const zoom = bar.querySelector(".zoom");
    zoom.addEventListener("change", () => sliders.forEach((one) => one.zoom(Number(zoom.value))));
  }
}
