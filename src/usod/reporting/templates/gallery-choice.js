"use strict";
// GALLERY comes from images.js: ids, sizes, layers (titles of the maps), columns (values), where the files lie.
const { ids, sizes, layers, columns, side, perFolder } = GALLERY;
const $ = (id) => document.getElementById(id);
const grid = $("grid");
const VIEWS = ["overlay", "image", "mask", "beside", "stages"];
const SMALL_IS_TELLING = ["agreement", "f_adaptive", "s_measure"]; // low values come first: those are the images to look at
const count = (number) => number.toLocaleString("en");

// ---- state: in the address, so that a reload or a link shows the same; ticks: in the browser's storage

const keys = [...Object.keys(columns), "name"];
const state = { sort: keys.includes("doubt") ? "doubt" : "name", down: null, view: "overlay", layer: 0, filter: "" };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (keys.includes(given.get("sort"))) state.sort = given.get("sort");
  if (VIEWS.includes(given.get("view"))) state.view = given.get("view");
  state.layer = Math.max(0, layers.indexOf(given.get("map")));
  state.filter = given.get("filter") || "";
  state.down = given.has("down") ? given.get("down") === "1" : firstDown(state.sort);
}

function writeAddress() {
  const said = new URLSearchParams({ sort: state.sort, down: +state.down, view: state.view, map: layers[state.layer] });
  if (state.filter) said.set("filter", state.filter);
  history.replaceState(null, "", `#${said}`);
}

function firstDown(key) {
  return key !== "name" && !SMALL_IS_TELLING.includes(key);
}

const STORE = `usod-gallery ${GALLERY.name} ${location.pathname}`;
const ticked = new Set();
let kept = true;
try {
  const known = new Set(ids);
  for (const id of JSON.parse(localStorage.getItem(STORE) || "[]")) if (known.has(id)) ticked.add(id);
} catch {
  kept = false;
}

function tick(number, on = !ticked.has(ids[number])) {
  on ? ticked.add(ids[number]) : ticked.delete(ids[number]);
  keepTicks();
}

function keepTicks() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...ticked]));
  } catch {
    kept = false;
  }
  showTicks();
}

// ---- which images, in which order

let shown = []; // numbers of images
let active = 0; // place in `shown`
let wrong = "";

const COMPARE = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
};

function condition(word) {
  const compared = word.match(/^([^<>=]+)(<=|>=|<|>|=)(.*)$/);
  if (!compared) {
    if (word === "ticked") return (n) => ticked.has(ids[n]);
    return word.length > 1 && word[0] === "-" ? (n) => !names[n].includes(word.slice(1)) : (n) => names[n].includes(word);
  }
  const [, given, sign, text] = compared;
  const key = Object.keys(columns).find((name) => name.toLowerCase() === given);
  const bound = parseFloat(text);
  if (key === undefined) wrong = `No value “${given}”: there are ${Object.keys(columns).join(", ")}`;
  else if (Number.isNaN(bound)) wrong = `${key}${sign} needs a number`;
  else return (n) => columns[key][n] !== null && COMPARE[sign](columns[key][n], bound);
  return () => true;
}

// Of photographs with names of their own the id does not say the folder.
const names = ids.map((id, n) => `${id} ${GALLERY.photographs?.files[n] ?? ""}`.toLowerCase());

function choose() {
  const before = shown[active];
  wrong = "";
  const conditions = state.filter.toLowerCase().split(/\s+/).filter(Boolean).map(condition);
  shown = ids.map((_, n) => n).filter((n) => conditions.every((holds) => holds(n)));
  const way = state.down ? -1 : 1;
  const values = columns[state.sort];
  const order = new Intl.Collator(undefined, { numeric: true }).compare;
  if (values) {
    // Images without the value stand at the end, whatever the direction.
    shown.sort((a, b) => (values[a] === null) - (values[b] === null) || way * (values[a] - values[b]) || a - b);
  } else {
    shown.sort((a, b) => way * order(ids[a], ids[b]));
  }
  active = Math.max(0, shown.indexOf(before));
  writeAddress();
  showTicks();
  layOut();
}
