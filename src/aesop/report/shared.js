"use strict";
/* The files of this folder are joined into one script; each but this one keeps its names to itself, in a block. */

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const evaluation = read("evaluation");
const { metrics, marks, plotted, published, curves } = read("page");
document.documentElement.classList.add("js");

function fill(select, values, title = (text) => text) {
  const before = select.value;
  select.replaceChildren(...values.map((text) => new Option(title(text), text)));
  if (values.includes(before)) select.value = before;
}

/* A difference or a value as it is read, with a minus that is as long as the plus. */
const typeset = (number, digits) => number.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");

/* What is closed on the screen is open on paper. */
{
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
}

/* A table that is wider than its place is a region that the keyboard scrolls. */
{
  const title = (wide) => {
    let before = wide;
    while (before && !before.matches("h2, h3, summary")) before = before.previousElementSibling ?? before.parentElement;
    return before?.textContent ?? "";
  };
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const over = target.scrollWidth > target.clientWidth;
      const state = over ? { tabindex: 0, role: "region", "aria-label": `Table, ${title(target)}` } : {};
      for (const name of ["tabindex", "role", "aria-label"]) {
        if (name in state) target.setAttribute(name, state[name]);
        else target.removeAttribute(name);
      }
    }
  });
  for (const wide of document.querySelectorAll(".wide")) watch.observe(wide);
}
