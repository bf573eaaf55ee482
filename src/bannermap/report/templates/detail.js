// What opens behind a card, and the comparison of a pair. Both are dialogs: Escape closes, arrows go on.
const dialog = document.getElementById("detail");
const eventNames = { created: "born", kept: "kept", merged_from: "took banners from", split_from: "is a part of", given_to: "gave banners to", retired: "retired" };
let step = () => {};
let opener = null;

const part = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);
const day = (text) => make("time", {}, text || "");
const note = (text) => make("p", { class: "note" }, text);
function named(name) {
  return name.length > 1 ? make("a", { href: linkTo(name[0], name[1]) }, make("code", {}, shortName(name[0]))) : make("code", {}, name[0]);
}
function sheet(pictures, text) {
  const figures = pictures.map(([at, banners, similarity, file], i) => {
    const told = [file, similarity === null ? "" : i ? similarity.toFixed(2) : text === "member" ? "medoid" : "", banners > 1 ? `×${banners}` : ""].filter(Boolean).join(" ");
    return make("figure", {}, picture(at, `${text} ${i + 1}`), told ? make("figcaption", {}, told) : null);
  });
  return make("div", { class: "sheet" }, ...figures);
}
// The picture under a curtain that is clear where the encoder looks.
function emphasis(d) {
  if (!d.em.length) return null;
  const figures = d.em.map(([at, over, i]) => {
    const mask = `url(data:image/webp;base64,${data.images[over]})`;
    const under = make("span", { class: "curtained" }, picture(at, ""), make("span", { class: "curtain", style: `-webkit-mask-image:${mask};mask-image:${mask}` }));
    under.setAttribute("role", "img");
    under.setAttribute("aria-label", `member ${i + 1} as the encoder looks at it`);
    return make("figure", {}, under, make("figcaption", {}, i ? `member ${i + 1}` : "medoid"));
  });
  return part("What the encoder looks at", make("div", { class: "sheet" }, ...figures), note("Clear: what counts most in the vector. Covered: what hardly counts."));
}
function facts(card, d) {
  const rows = [[data.dated ? "Banners" : "Files", number(card.s)], ["Pictures", number(card.n)], ["Cohesion", card.c.toFixed(3)], d.t === null ? ["Made by", "a saved model, without cuts"] : ["Cut at", `${d.t.toFixed(2)}, step ${d.d}`]];
  if (card.r !== undefined) rows.push(["Clicks", `${number(card.k || 0)} of ${number(card.i)}: ${rate(card)}`]);
  if (data.dated) rows.push(["Born", day(card.f)], ["First seen", day(d.seen[0])], ["Last seen", day(d.seen[1])]);
  rows.push(["Themes", card.th.map(([k, slot]) => `${slot} of ${k}`).join(", ") || "none stored"]);
  if (card.tg.length) rows.push(["Tags", card.tg.join(", ")]);
  return make("dl", {}, ...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}
function path(card, d) {
  if (d.t === null) return null;
  const steps = d.path.map((group, i) => make("li", {}, "group ", make("code", {}, group), i + 1 < d.path.length ? ", cut further" : `, cut at ${d.t.toFixed(2)} into this cluster${d.sn ? ` and ${counted(d.sn, "other")}` : ""}`));
  const own = make("li", {}, "cluster ", make("code", {}, card.id), ` at ${d.t.toFixed(2)}, step ${d.d}${d.path.length ? "" : ": taken as it was found, no group above it"}`);
  const beside = d.sib.map((s) => make("figure", {}, make("a", { href: linkTo(s[0], s[1]), "aria-label": `Sibling ${shortName(s[0])}, ${counted(s[2], unit)}` }, s[3] >= 0 ? picture(s[3], "medoid") : make("code", {}, shortName(s[0]))), make("figcaption", {}, counted(s[2], unit))));
  const rest = d.sn - d.sib.length;
  return part("Path of thresholds", make("ol", { class: "steps" }, ...steps, own), d.sn ? note("Siblings, cut from the same group:") : null, d.sn ? make("div", { class: "sheet" }, ...beside) : null, rest > 0 ? note(`and ${number(rest)} more`) : null);
}
function lost(d) {
  if (!d.fo) return part("What fell out of its group", note("Nothing."));
  return part("What fell out of its group", note(`${counted(d.fo, unit)} of the group it was cut from ${d.fo === 1 ? "is" : "are"} in no cluster.`), d.fop.length ? sheet(d.fop, "outlier") : null);
}
function advertisers(card, d) {
  if (!d.adv.length) return part("Advertisers", note("None is known."));
  const rest = card.ac - d.adv.length;
  return part("Advertisers", make("ul", { class: "plain" }, ...d.adv.map((banners, i) => make("li", {}, card.a[i], " ", make("span", { class: "dim" }, counted(banners, unit)))), rest > 0 ? make("li", {}, `and ${number(rest)} more`) : null));
}
function audiences(d) {
  if (!d.au.length) return null;
  const rows = d.au.map(([attribute, value, users, lift, low, high]) => make("li", {}, `${attribute} ${value}: ${lift.toFixed(2)} times the usual share `, make("span", { class: "dim" }, `(${low.toFixed(2)} to ${high.toFixed(2)}, ${counted(users, "user")})`)));
  return part("Audience", make("ul", { class: "plain" }, ...rows), note("Share of its users with this value over that of all users, 95 % interval; small cells are left out."));
}
function days(d) {
  if (!data.dated || !d.days.length) return null;
  const most = Math.max(1, ...d.days);
  const bars = d.days.map((banners, i) => make("span", { style: `height:${(100 * banners) / most}%`, title: `${data.axis[i]}: ${counted(banners, unit)}` }));
  const said = `Banners per day: ${d.days.map((banners, i) => (banners ? `${data.axis[i]} ${banners}` : "")).filter(Boolean).join(", ") || "none"}`;
  const ends = make("div", { class: "dayends" }, make("span", {}, data.axis[0]), make("span", {}, `most: ${number(most)}`), make("span", {}, data.axis[data.axis.length - 1]));
  return part("Banners per day", make("div", { class: "dayrow", role: "img", "aria-label": said }, ...bars), ends);
}
function lineage(d) {
  if (!data.dated) return null;
  const rows = d.lin.map(([at, event, other, banners, fell]) => make("li", {}, day(data.axis[at]), ` ${eventNames[data.events[event]]} `, other ? named(other) : null, ` (${counted(banners, unit)}${fell ? `, ${number(fell)} fell out` : ""})`));
  return part("Lineage", rows.length ? make("ul", { class: "plain" }, ...rows) : note(data.lineage ? "No change is stored." : "No lineage is stored for this clustering."));
}
function duplicates(d) {
  if (!d.dn) return part("Near duplicates", note("None."));
  const rows = d.dup.map(([a, b, cosine, kept, keeper, reason, detail]) => {
    const sides = [a, b].map((at, i) => make("span", { class: kept === i + 1 ? "side keep" : "side" }, picture(at, kept === i + 1 ? "keep" : "duplicate"), make("span", { class: "mark" }, kept === i + 1 ? "keep" : "\u00a0")));
    const why = `cosine ${cosine.toFixed(4)}${reason ? ` · keep ${keeper}${kept ? "" : " (a third picture of the set)"}: ${reason.replace("_", " ")}${detail ? `, ${detail}` : ""}` : ""}`;
    return make("li", { class: "pair" }, make("span", { class: "two" }, ...sides), make("p", { class: "why" }, why));
  });
  const rest = d.dn - d.dup.length;
  return part("Near duplicates", make("ul", { class: "pairs" }, ...rows), rest > 0 ? note(rows.length ? `and ${counted(rest, "more pair")}` : `${counted(rest, "pair")}; no room for pictures here`) : null);
}
function opened(title, onStep, ...content) {
  const button = (text, key, by) => {
    const made = make("button", { type: "button", "aria-keyshortcuts": key }, text);
    made.addEventListener("click", by);
    return made;
  };
  step = onStep;
  const bar = make("div", { class: "bar-top" }, make("h2", { id: "detail-title" }, title), button("Previous", "ArrowLeft", () => step(-1)), button("Next", "ArrowRight", () => step(1)), button("Close", "Escape", () => dialog.close()));
  dialog.replaceChildren(bar, ...content.filter(Boolean));
  dialog.setAttribute("tabindex", "-1");
  if (!dialog.open) {
    opener = document.activeElement === document.body ? null : document.activeElement;
    dialog.showModal();
  }
  dialog.scrollTop = 0;
  dialog.focus();
}
function openCluster(id) {
  const at = position.get(id);
  const card = data.cards[at];
  const d = data.details[at];
  const rest = card.n - d.p.length;
  const onStep = (by) => {
    const next = ordered[ordered.findIndex((c) => c.id === id) + by];
    if (next) location.replace(`#cluster-${next.id}`);
  };
  const pictures = part("Pictures", sheet(d.p, "member"), rest > 0 ? note(`and ${counted(rest, "more picture")}`) : null);
  const sides = make("div", { class: "columns" }, make("div", {}, path(card, d), lineage(d)), make("div", {}, ...[advertisers(card, d), audiences(d), days(d)].filter(Boolean)));
  opened(`Cluster ${shortName(id)}, ${counted(card.s, unit)}`, onStep, facts(card, d), pictures, emphasis(d), sides, lost(d), duplicates(d));
}
function openPair(button) {
  const all = [...document.querySelectorAll("[data-pair]")];
  const item = button.closest(".pair");
  const sides = [...button.querySelectorAll(".side")].map((side) => side.cloneNode(true));
  const images = [...button.querySelectorAll("img")].map((img) => img.cloneNode());
  const difference = images.length === 2 ? make("div", { class: "side" }, make("span", { class: "over" }, ...images), make("span", { class: "mark" }, "difference: black where they agree")) : null;
  const onStep = (by) => {
    const next = all[all.indexOf(button) + by];
    if (next) openPair(next);
  };
  opened(`Pair ${all.indexOf(button) + 1} of ${all.length}`, onStep, make("div", { class: "compare" }, ...sides, difference), item.querySelector(".why").cloneNode(true));
}
function route() {
  const match = /^#cluster-(.+)$/.exec(location.hash);
  if (!match) return dialog.open && dialog.close();
  const asked = decodeURIComponent(match[1]);
  const meant = asked.length >= 8 ? data.cards.filter((c) => c.id.startsWith(asked)) : [];
  const card = data.cards[position.get(asked)] || (meant.length === 1 && meant[0]);
  const id = card ? card.id : asked;
  if (id !== asked) history.replaceState(null, "", `#cluster-${id}`);
  if (card && data.details) return openCluster(id);
  if (card) return location.replace(linkTo(id, card.g));
  if (here) return location.replace(`index.html#cluster-${encodeURIComponent(id)}`);
  document.getElementById("shown").textContent = `Cluster ${id} is not in this report.`;
  return document.getElementById("clusters").scrollIntoView();
}
dialog.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  step(by);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => {
  const match = /^#cluster-(.+)$/.exec(location.hash);
  if (match) history.replaceState(null, "", location.pathname + location.search);
  const item = match && [...box.children].find((li) => li.dataset.id === decodeURIComponent(match[1]));
  const back = item ? item.querySelector(".card") : opener;
  if (back && back.isConnected) back.focus();
});
for (const button of document.querySelectorAll("[data-pair]")) button.addEventListener("click", () => openPair(button));
window.addEventListener("hashchange", route);
route();
