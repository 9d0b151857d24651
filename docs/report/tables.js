// Tables that sort by a column: its name becomes a button. Numbers fall first, texts rise first, empty cells stay last.
(() => {
  const sort = (table, header, index) => {
    const number = header.classList.contains("number");
    const first = number ? "descending" : "ascending";
    const order = header.getAttribute("aria-sort") === first ? (number ? "ascending" : "descending") : first;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const key = (row) => {
      const cell = row.cells[index];
      return number ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent.trim();
    };
    const empty = (value) => (number ? Number.isNaN(value) : value === "");
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (empty(a) || empty(b)) return empty(a) - empty(b);
      return sign * (number ? a - b : a.localeCompare(b, "en", { numeric: true }));
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, index) => {
      if ("unsorted" in header.dataset) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, header, index));
    });
  }
})();
