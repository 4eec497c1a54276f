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
