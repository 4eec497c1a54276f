"use strict";
// Filtering rows by a text. The page is whole without it.
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
        shown += !row.hidden;
      }
      article.hidden = !any;
    }
    told.textContent = words.length ? `${shown} rows shown` : "";
  });
}
