"use strict";
// Filtering rows by a text, saving figures. The page is whole without it.
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
