"use strict";
// Shows one feature at a time. Without it the page is whole: all features stand one below the other.
const chooser = document.getElementById("feature");
const articles = [...document.querySelectorAll("#listen article")];
function show() {
  for (const article of articles) {
    article.hidden = article.dataset.feature !== chooser.value;
    if (article.hidden) for (const player of article.querySelectorAll("audio")) player.pause();
  }
}
if (chooser) {
  chooser.closest("p").hidden = false;
  chooser.addEventListener("change", show);
  show();
}

// Keeps the rows of features whose most exciting windows have a label more often than others.
for (const box of document.querySelectorAll("select.by-label")) {
  const table = box.closest("details").querySelector("table");
  box.closest("p").hidden = false;
  box.addEventListener("change", () => {
    for (const row of table.tBodies[0].rows) {
      const named = [...row.querySelectorAll("[data-label]")].map((each) => each.dataset.label);
      row.hidden = box.value !== "" && !named.includes(box.value);
    }
  });
}
