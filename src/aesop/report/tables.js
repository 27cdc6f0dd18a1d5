/* Tables that sort: the best first, then the worst first, then as they were; what is missing stays last. */
{
  const collator = new Intl.Collator(undefined, { numeric: true });
  const value = (row, column) => {
    const cell = row.cells[column];
    return column === 0 ? cell.textContent : cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };

  function sorted(rows, column, sign) {
    return [...rows].sort((one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (column === 0 ? collator.compare(a, b) : a === b ? 0 : a - b);
    });
  }

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => {
        const heading = button.closest("th");
        const now = heading.getAttribute("aria-sort");
        const first = heading.dataset.first;
        const second = first === "ascending" ? "descending" : "ascending";
        const next = now === null ? first : now === first ? second : null;
        for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
        if (next) heading.setAttribute("aria-sort", next);
        body.append(...(next ? sorted(original, heading.cellIndex, next === "ascending" ? 1 : -1) : original));
      });
    }
  }
}
