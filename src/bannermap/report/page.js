"use strict";
// Sorting and searching move and hide what is there already; no text ever becomes markup.
(() => {
  const box = document.getElementById("cards");
  const cards = Array.from(box.children);
  const search = document.getElementById("search");
  const sort = document.getElementById("sort");
  const shown = document.getElementById("shown");
  const all = shown.textContent;
  const orders = {
    size: (a, b) => b.dataset.size - a.dataset.size,
    cohesion: (a, b) => a.dataset.cohesion - b.dataset.cohesion,
    newest: (a, b) => b.dataset.newest.localeCompare(a.dataset.newest),
    ctr: (a, b) => b.dataset.ctr - a.dataset.ctr,
  };
  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.words.includes(word));
      matching += card.hidden ? 0 : 1;
    }
    document.getElementById("none").hidden = matching > 0;
    shown.textContent = words.length ? `${matching} of ${cards.length} match` : all;
  }
  search.addEventListener("input", update);
  sort.addEventListener("change", () => box.append(...cards.sort(orders[sort.value])));
})();
