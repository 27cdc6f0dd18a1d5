"use strict";
/* The files of this folder are joined into one script; each but this one keeps its names to itself, in a block. */

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const evaluation = read("evaluation");
const { metrics, published, curves } = read("page");
document.documentElement.classList.add("js");

function fill(select, values, title = (text) => text) {
  const before = select.value;
  select.replaceChildren(...values.map((text) => new Option(title(text), text)));
  if (values.includes(before)) select.value = before;
}
