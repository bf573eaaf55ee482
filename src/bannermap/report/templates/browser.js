"use strict";
// Cards of the clusters: sorted, searched and walked over. Every text is set as text; nothing ever becomes markup.
const data = JSON.parse(document.getElementById("data").textContent);
const here = Number(document.body.dataset.page);
for (const card of data.cards) for (const list of ["a", "tg"]) card[list] = card[list].map((at) => data.names[at]);
const position = new Map(data.cards.map((card, i) => [card.id, i]));
const unit = data.dated ? "banner" : "file";
const CHUNK = 60;
let ordered = data.cards.slice();
let drawn = 0;

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const number = (value) => value.toLocaleString("en-US");
const counted = (value, one) => `${number(value)} ${one}${value === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(2)} %`;
const pageOf = (page) => (page === here ? "" : page ? `clusters-${String(page).padStart(3, "0")}.html` : "index.html");
// Of a hash its first letters, of a saved model's cluster the number that ends its id.
const shortName = (id) => id.split("-").pop().slice(0, 8);
const linkTo = (id, page) => `${pageOf(page)}#cluster-${id}`;

function picture(at, text) {
  if (at < 0) return make("span", { class: "gone" }, "no picture");
  return make("img", { src: `data:image/webp;base64,${data.images[at]}`, alt: text, decoding: "async" });
}
function rate(card) {
  if (card.r === undefined) return "";
  return `${percent(card.r)} clicks (${card.w ? `${(100 * card.w[0]).toFixed(2)} to ${percent(card.w[1])}` : "more than impressions"})`;
}
function drawCard(card) {
  const at = position.get(card.id);
  const sheet = data.details ? data.details[at].p.slice(0, 4).map((p) => p[0]) : [card.m];
  const images = (sheet.length ? sheet : [-1]).map((p, i) => picture(p, i ? "member" : "medoid"));
  const top = make("div", { class: "top" }, make("span", {}, make("span", { class: "big" }, number(card.s)), ` ${unit}${card.s === 1 ? "" : "s"}`), make("code", {}, shortName(card.id)));
  const who = card.a.length ? card.a.slice(0, 2).join(", ") + (card.ac > 2 ? ` and ${card.ac - 2} more` : "") : "";
  const lines = [`${counted(card.n, "picture")}, cohesion ${card.c.toFixed(3)}`, rate(card), who].filter(Boolean).map((line) => make("p", {}, line));
  if (card.tg.length) lines.push(make("p", { class: "tags" }, card.tg.slice(0, 4).join(", ")));
  const label = `Cluster ${shortName(card.id)}: ${counted(card.s, unit)}${card.r === undefined ? "" : `, ${rate(card)}`}${who ? `, ${who}` : ""}`;
  const link = make("a", { class: "card", href: linkTo(card.id, card.g), "aria-label": label, "data-walk": "" }, make("div", { class: "sheet" }, ...images), top, ...lines);
  return make("li", { "data-id": card.id }, link);
}

const descending = (key) => (a, b) => key(b) - key(a);
const orders = {
  size: descending((c) => c.s),
  newest: (a, b) => (b.f || "").localeCompare(a.f || ""),
  cohesion: (a, b) => a.c - b.c,
  advertisers: descending((c) => c.ac),
  ctr: descending((c) => c.r ?? -1),
  surely: descending((c) => (c.w ? c.w[0] : -1)),
};
const box = document.getElementById("cards");
const search = document.getElementById("search");
const sort = document.getElementById("sort");
const more = document.getElementById("more");
const names = data.cards.map((card) => [...card.a, ...card.tg].join("\n").toLowerCase());
// Most ids are hexadecimal, so a short word would be part of most of them: it has to begin one, with four letters or more, or be
// what the page calls the cluster.
function matches(card, word) {
  const theme = /^theme(\d+)-(\d+)$/.exec(word);
  if (theme) return card.th.some(([k, slot]) => k === Number(theme[1]) && slot === Number(theme[2]));
  return names[position.get(card.id)].includes(word) || (word.length >= 4 && (card.id.startsWith(word) || shortName(card.id) === word));
}

function showMore() {
  box.append(...ordered.slice(drawn, drawn + CHUNK).map(drawCard));
  drawn = Math.min(drawn + CHUNK, ordered.length);
  more.hidden = drawn >= ordered.length;
  more.textContent = `Show ${number(Math.min(CHUNK, ordered.length - drawn))} more of ${number(ordered.length - drawn)}`;
}
function update() {
  const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  ordered = data.cards.filter((card) => asked.every((word) => matches(card, word)));
  ordered.sort((a, b) => orders[sort.value](a, b) || (a.id < b.id ? -1 : 1));
  box.replaceChildren();
  drawn = 0;
  showMore();
  document.getElementById("none").hidden = ordered.length > 0;
  document.getElementById("shown").textContent = asked.length ? `${number(ordered.length)} of ${number(data.cards.length)} match` : counted(data.cards.length, "cluster");
}
search.addEventListener("input", update);
sort.addEventListener("change", update);
more.addEventListener("click", showMore);

// Keys: / searches, arrows walk over cards and pictures, Home and End go to the ends.
function walk(event) {
  const from = event.target.closest("[data-walk]");
  const area = from && from.closest("#cards, [data-walks]");
  if (!area) return;
  const items = [...area.querySelectorAll("[data-walk]")];
  const at = items.indexOf(from);
  const columns = Math.max(1, items.findIndex((item, i) => i > 0 && item.getBoundingClientRect().top > items[0].getBoundingClientRect().top + 5));
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: items.length - 1 - at }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  if (area === box && at + step >= items.length && drawn < ordered.length) {
    showMore();
    items.push(...[...area.querySelectorAll("[data-walk]")].slice(items.length));
  }
  const next = items[at + step];
  if (next) next.focus();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (!typing) walk(event);
  else if (event.key === "ArrowDown" && event.target === search && box.firstChild) {
    event.preventDefault();
    box.querySelector(".card").focus();
  }
});
for (const link of document.querySelectorAll("[data-search]")) {
  link.addEventListener("click", () => {
    search.value = link.dataset.search;
    update();
  });
}
update();
