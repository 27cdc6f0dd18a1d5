/* Tables that sort: the best first, then the worst first; what is missing stays last. */
{
  const value = (row, column) => {
    const cell = row.cells[column];
    return column === 0 ? cell.textContent : cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };

  function sort(table, column, ascending) {
    const sign = ascending ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => row.cells.length > 1);
      rows.sort((one, other) => {
        const [a, b] = [value(one, column), value(other, column)];
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (column === 0 ? a.localeCompare(b) : a === b ? 0 : a - b);
      });
      body.append(...rows);
    }
  }

  for (const button of document.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const table = heading.closest("table");
      const now = heading.getAttribute("aria-sort");
      const ascending = now ? now === "descending" : heading.dataset.first === "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(table, heading.cellIndex, ascending);
    });
  }
}
