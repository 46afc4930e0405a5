"use strict";
// The examples of a suite: a list that can be searched, and a page for each one, whose address ends in #id. All text is set as
// text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [systems, scores, items] = [data.systems, data.scores, data.items];
  const PAGE = 48;
  const byId = (id) => document.getElementById(id);
  const make = (tag, properties = {}, children = []) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key in element) element[key] = value; else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };
  const bdi = (text, properties = {}) => make("bdi", { textContent: text, ...properties });
  const name = (item) => item.id;
  const address = (item) => "#" + encodeURIComponent(item.id.toWellFormed ? item.id.toWellFormed() : item.id);
  const show = (value) => value === null || value === undefined ? "–" : (value * (scores.percent ? 100 : 1)).toFixed(scores.percent ? 1 : 2);
  const picture = (item, lazy) => item.image
    ? [make("img", { src: "../" + item.image[0], width: item.image[1], height: item.image[2], alt: "Image of example " + name(item), loading: lazy ? "lazy" : "eager", decoding: "async" })]
    : [];

  // What a search looks at, made when it is first asked for.
  const texts = (item, where) => {
    item.found ??= {};
    return item.found[where] ??= (where === "all"
      ? [item.id, item.prompt, ...item.references, ...item.answers.flat().map((answer) => typeof answer === "string" ? answer : answer.join(" "))]
      : where === "references" ? item.references
      : item.answers[Number(where)].map((answer) => typeof answer === "string" ? answer : answer.join(" "))
    ).join("\n").toLowerCase();
  };
  const differ = (item) => new Set(item.answers.filter((each) => each.length).map((each) => JSON.stringify(each))).size > 1;
  const failed = (item) => item.answers.some((each) => each.some((answer) => typeof answer !== "string"));
  const mean = (item) => {
    const known = item.values.filter((value) => value !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : NaN;
  };
  const orders = {
    differ: null,
    id: (a, b) => a.id < b.id ? -1 : a.id > b.id ? 1 : 0,
    worst: (a, b) => scores.sign * (mean(a) - mean(b)),
    best: (a, b) => scores.sign * (mean(b) - mean(a)),
  };

  let chosen = items;
  let shown = 0;
  const cards = byId("cards");
  const card = (item) => {
    const said = [item.best, item.worst].filter((index, place, all) => index !== null && all.indexOf(index) === place);
    const lines = (said.length ? said : [0]).flatMap((index) => {
      const answer = (item.answers[index] ?? [])[0];
      if (typeof answer !== "string") return [];
      return [make("p", { className: "said" }, [bdi(systems[index].name, { className: "by" }), " ", bdi(answer || "(empty text)")])];
    });
    return make("li", {}, [make("a", { className: "card", href: address(item) }, [
      ...picture(item, true), make("p", { className: "title" }, [bdi(name(item))]), ...lines,
    ])]);
  };
  const grow = () => {
    cards.append(...chosen.slice(shown, shown + PAGE).map(card));
    shown = Math.min(shown + PAGE, chosen.length);
    byId("more").hidden = shown >= chosen.length;
  };
  const list = () => {
    const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [where, only, order] = [byId("where").value, byId("only").value, orders[byId("order").value]];
    chosen = items.filter((item) => (only !== "differ" || differ(item)) && (only !== "failed" || failed(item))
      && words.every((word) => texts(item, where).includes(word)));
    if (order) chosen.sort(order);
    shown = 0;
    cards.replaceChildren();
    grow();
    byId("tally").textContent = chosen.length === items.length ? `${items.length} examples` : `${chosen.length} of ${items.length} examples`;
  };

  // One example.
  const answer = (said, draw, many) => {
    const mark = many ? [make("span", { className: "draw", textContent: `${draw + 1} `, title: `draw ${draw + 1}` })] : [];
    if (typeof said !== "string") return make("p", { className: "failure" }, ["no text: ", bdi(said[0]), ": ", bdi(said[1])]);
    return make("p", {}, [...mark, said ? bdi(said) : make("span", { className: "blank", textContent: "(empty text)" })]);
  };
  const line = (item, system, index) => {
    const said = item.answers[index];
    const name = system.page ? make("a", { href: "../" + system.page }, [bdi(system.name)]) : bdi(system.name);
    const cells = [make("th", { scope: "row" }, [name, make("span", { className: "kind", textContent: system.kind })]),
      make("td", {}, said.length ? said.map((each, draw) => answer(each, draw, said.length > 1)) : ["–"])];
    if (scores.label) cells.push(make("td", { className: "num", textContent: show(item.values[index]) }));
    return make("tr", { className: item.best !== null && item.values[index] === item.values[item.best] ? "top" : "" }, cells);
  };
  const open = (item) => {
    const place = chosen.indexOf(item);
    const step = (other, text, key) => other
      ? [make("a", { className: "step", href: address(other), textContent: text, "aria-keyshortcuts": key, id: key })] : [];
    const heads = ["System", "Said", ...(scores.label ? [`${scores.label}, this example`] : [])];
    byId("example").replaceChildren(
      make("nav", { className: "steps", "aria-label": "Examples" }, [make("a", { className: "step", href: "#", textContent: "All examples", id: "back" }),
        ...step(chosen[place - 1], "← Previous", "ArrowLeft"), ...step(place < 0 ? null : chosen[place + 1], "Next →", "ArrowRight")]),
      make("h1", { tabIndex: -1 }, [bdi(name(item))]),
      make("div", { className: "look" }, [
        make("div", {}, [...picture(item, false),
          ...(item.prompt ? [make("p", { className: "prompt" }, [bdi(item.prompt)])] : []),
          ...(item.references.length ? [make("h2", { textContent: "People wrote" }), make("ul", {}, item.references.map((text) => make("li", {}, [bdi(text)])))] : [])]),
        make("div", {}, [make("table", { className: "texts" }, [
          make("thead", {}, [make("tr", {}, heads.map((text, index) => make("th", { scope: "col", textContent: text, className: index === 2 ? "num" : "" })))]),
          make("tbody", {}, systems.map((system, index) => line(item, system, index)))])]),
      ]));
  };
  const index = new Map(items.map((item) => [address(item), item]));
  let scroll = 0;
  const route = () => {
    const item = index.get(location.hash);
    const before = byId("gallery").hidden;
    if (item && !before) scroll = scrollY;
    byId("gallery").hidden = Boolean(item);
    byId("example").hidden = !item;
    if (item) { open(item); scrollTo(0, 0); byId("example").querySelector("h1").focus({ preventScroll: true }); }
    else if (before) { byId("example").replaceChildren(); scrollTo(0, scroll); }
  };

  byId("where").append(...systems.map((system, index) => make("option", { value: String(index), textContent: system.name })),
    make("option", { value: "references", textContent: "what people wrote" }));
  document.querySelector(".finder").hidden = false;
  let waiting = 0;
  byId("find").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(list, items.length > 500 ? 120 : 0); });
  for (const id of ["where", "only", "order"]) byId(id).addEventListener("change", list);
  byId("more").addEventListener("click", grow);
  addEventListener("hashchange", route);
  document.addEventListener("keydown", (event) => {
    if (byId("example").hidden || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const target = event.key === "Escape" ? byId("back") : ["ArrowLeft", "ArrowRight"].includes(event.key) ? byId(event.key) : null;
    if (target) { event.preventDefault(); target.click(); }
  });
  list();
  route();
})();
