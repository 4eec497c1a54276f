"use strict";
// Sorting by a click on a column's head, filtering rows by a text, saving figures. The page is whole without it.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, heads, head, column));
  });
}

function sortBy(table, heads, head, column) {
  const down = head.getAttribute("aria-sort") !== "descending";
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.cells[column];
    const given = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(given);
    return given === "" ? null : Number.isNaN(number) ? given : number;
  };
  const body = table.tBodies[0];
  const fixed = [...body.rows].filter((row) => row.classList.contains("floor"));
  const rows = [...body.rows].filter((row) => !row.classList.contains("floor"));
  rows.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return down ? -order : order;
  });
  body.append(...rows, ...fixed);
}

const filter = document.getElementById("filter");
if (filter) {
  const tables = [...document.querySelectorAll("#leaderboards article")];
  const told = document.getElementById("filtered");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const article of tables) {
      const task = article.dataset.task.toLowerCase();
      let any = false;
      for (const row of article.querySelectorAll("tbody tr:not(.floor)")) {
        const text = `${task} ${row.textContent.toLowerCase()}`;
        row.hidden = !words.every((word) => text.includes(word));
        any ||= !row.hidden;
        shown += !row.hidden && row.closest(".board") !== null;
      }
      article.hidden = !any;
    }
    told.textContent = words.length ? `${shown} rows shown` : "";
  });
}

// A figure's SVG lies packed beside it; its PDF is a link, which needs no script.
if (typeof DecompressionStream === "function") {
  for (const button of document.querySelectorAll("button[data-svg]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const packed = Uint8Array.from(atob(button.dataset.svg), (letter) => letter.charCodeAt(0));
      const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([await new Response(unpacked).arrayBuffer()], {type: "image/svg+xml"}));
      link.download = button.dataset.name;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}
