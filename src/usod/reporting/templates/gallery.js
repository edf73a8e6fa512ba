"use strict";
// GALLERY comes from images.js: ids, sizes, layers (titles of the maps), columns (values), where the files lie.
const { ids, sizes, layers, columns, side, perFolder } = GALLERY;
const $ = (id) => document.getElementById(id);
const grid = $("grid");
const VIEWS = ["overlay", "image", "mask", "beside", "stages"];
const SMALL_IS_TELLING = ["agreement", "f_fixed"]; // low values come first: those are the images to look at
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
  const compared = word.match(/^([\w.-]+)(<=|>=|<|>|=)(.*)$/);
  if (!compared) {
    if (word === "ticked") return (n) => ticked.has(ids[n]);
    return word.length > 1 && word[0] === "-" ? (n) => !names[n].includes(word.slice(1)) : (n) => names[n].includes(word);
  }
  const [, key, sign, text] = compared;
  const bound = parseFloat(text);
  if (!(key in columns)) wrong = `No value “${key}”: there are ${Object.keys(columns).join(", ")}`;
  else if (Number.isNaN(bound)) wrong = `${key}${sign} needs a number`;
  else return (n) => columns[key][n] !== null && COMPARE[sign](columns[key][n], bound);
  return () => true;
}

const names = ids.map((id) => id.toLowerCase());

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

// ---- pictures

function pictureFile(number, maps) {
  return `pictures/${Math.floor(number / perFolder)}/${number}${maps ? "-maps" : ""}.webp`;
}

function ownFile(places, number) {
  return places && `${places.folder}/${places.files[number]}`.split("/").map(encodeURIComponent).join("/").replace("%3A", ":");
}

function block(name, parent) {
  const made = document.createElement("div");
  made.className = name;
  parent?.append(made);
  return made;
}

function setPicture(element, file, large) {
  element.style.backgroundImage = `url("${file}")`;
  if (!large) return;
  const probe = new Image(); // the small picture stays where the file has gone, or is of a kind that browsers cannot show
  probe.onload = () => Object.assign(element.style, { backgroundImage: `url("${large}")`, backgroundSize: "", backgroundPosition: "" });
  probe.src = large;
}

function setMap(element, number, layer, large) {
  Object.assign(element.style, {
    backgroundSize: `100% ${100 * layers.length}%`,
    backgroundPosition: `0 ${layers.length > 1 ? (100 * layer) / (layers.length - 1) : 0}%`,
  });
  setPicture(element, pictureFile(number, true), large && layer === 0 && ownFile(GALLERY.masks, number));
}

/** A frame with the image (kind "image"), a map of it (a layer's number), or that map over it ("overlay"). */
function frame(number, kind, width, height, large = false) {
  const [w, h] = sizes[number];
  const scale = Math.min(width / w, height / h);
  const made = block("frame");
  Object.assign(made.style, { width: `${width}px`, height: `${height}px` });
  const picture = block("picture", made);
  Object.assign(picture.style, { width: `${Math.round(w * scale)}px`, height: `${Math.round(h * scale)}px` });
  if (typeof kind === "number") setMap(picture, number, kind, large);
  else setPicture(picture, pictureFile(number, false), large && ownFile(GALLERY.photographs, number));
  if (kind === "overlay") setMap(block("picture tint", picture), number, state.layer, large);
  return made;
}

function headed(parent, title, content) {
  const panel = block("panel", parent);
  panel.append(content);
  block("heading", panel).textContent = title;
}

function kinds() {
  const overlay = ["overlay", state.layer ? `overlay: ${layers[state.layer]}` : "overlay"];
  const image = ["image", "image"];
  if (state.view === "stages") return [image, overlay, ...layers.map((title, k) => [k, title])];
  if (state.view === "beside") return [image, [state.layer, layers[state.layer]], overlay];
  return [{ overlay, image, mask: [state.layer, layers[state.layer]] }[state.view]];
}

// ---- the grid: only what is on the screen exists

const GAP = 6;
const room = block("", grid);
room.id = "room";
room.role = "presentation";
const cells = new Map(); // place in `shown` -> element
let plan;

function layOut() {
  const width = grid.clientWidth - 8;
  const panels = kinds();
  const target = Math.min(side, state.view === "stages" ? 150 : state.view === "beside" ? 130 : 184);
  const most = Math.max(1, Math.floor((width - GAP) / (target + GAP)));
  const across = state.view === "stages" ? Math.min(panels.length, Math.max(2, most)) : panels.length;
  const wide = state.view === "stages" ? width : panels.length * (target + GAP) + GAP;
  const perRow = state.view === "stages" ? 1 : Math.max(window.innerWidth < 640 && panels.length === 1 ? 2 : 1, Math.floor(width / wide));
  const cell = Math.floor(width / perRow);
  // A row of all stages may leave room at its end: its pictures grow to their own size, not beyond.
  const picture = Math.min(Math.floor((cell - GAP) / across) - GAP, state.view === "stages" ? Math.max(target, side) : cell);
  const heading = panels.length > 1 ? 18 : 0;
  const lines = Math.ceil(panels.length / across);
  const height = lines * (picture + heading + GAP) + 24 + GAP;
  plan = { panels, perRow, cell, picture, heading, height };
  room.style.height = `${Math.ceil(shown.length / perRow) * height + 8}px`;
  for (const element of cells.values()) element.remove();
  cells.clear();
  keepActiveInSight();
  draw();
}

function draw() {
  const first = Math.max(0, Math.floor(grid.scrollTop / plan.height) - 1) * plan.perRow;
  const last = Math.min(shown.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / plan.height) + 1) * plan.perRow);
  for (const [place, element] of cells) {
    if (place < first || place >= last) {
      element.remove();
      cells.delete(place);
    }
  }
  for (let place = first; place < last; place++) if (!cells.has(place)) cells.set(place, room.appendChild(makeCell(place)));
  showActive();
}

function makeCell(place) {
  const number = shown[place];
  const cell = block("cell");
  cell.id = `image-${place}`;
  cell.role = "option";
  cell.ariaLabel = `${ids[number]}${valueText(state.sort, number, ", ")}`;
  cell.ariaSetSize = shown.length;
  cell.ariaPosInSet = place + 1;
  cell.ariaSelected = ticked.has(ids[number]);
  const x = (place % plan.perRow) * plan.cell + 4;
  const y = Math.floor(place / plan.perRow) * plan.height + 4;
  Object.assign(cell.style, { width: `${plan.cell}px`, height: `${plan.height}px`, transform: `translate(${x}px, ${y}px)` });
  const panels = block("panels", cell);
  for (const [kind, title] of plan.panels) {
    const picture = frame(number, kind, plan.picture, plan.picture);
    plan.heading ? headed(panels, title, picture) : panels.append(picture);
  }
  const caption = block("caption", cell);
  block("box", caption).textContent = "✓";
  const name = block("name", caption);
  name.textContent = cell.title = ids[number];
  block("value", caption).textContent = valueText(state.sort, number, "");
  return cell;
}

function valueText(key, number, before) {
  const value = columns[key]?.[number];
  return value === undefined || value === null ? "" : `${before}${key} ${value.toFixed(Math.abs(value) < 10 ? 2 : 0)}`;
}

function showActive() {
  for (const [place, cell] of cells) cell.classList.toggle("active", place === active);
  cells.has(active) ? grid.setAttribute("aria-activedescendant", `image-${active}`) : grid.removeAttribute("aria-activedescendant");
}

function keepActiveInSight() {
  const top = Math.floor(active / plan.perRow) * plan.height;
  const bottom = top + plan.height + 8;
  if (top < grid.scrollTop) grid.scrollTop = top;
  else if (bottom > grid.scrollTop + grid.clientHeight) grid.scrollTop = bottom - grid.clientHeight;
}

function moveTo(place) {
  if (!shown.length) return;
  active = Math.min(Math.max(place, 0), shown.length - 1);
  keepActiveInSight();
  draw();
  if ($("enlarged").open) showLarge();
}

function showTicks() {
  for (const [place, cell] of cells) cell.ariaSelected = ticked.has(ids[shown[place]]);
  const only = /(^|\s)ticked(\s|$)/.test(state.filter);
  $("only").textContent = `${count(ticked.size)} ticked`;
  $("only").setAttribute("aria-pressed", only);
  $("only").disabled = !ticked.size && !only;
  $("save").disabled = $("clear").disabled = !ticked.size;
  const all = shown.length === ids.length;
  const lost = kept ? "" : " · ticks are lost when this page is closed";
  $("status").classList.toggle("wrong", Boolean(wrong));
  $("status").textContent = wrong || (all ? `${count(ids.length)} images` : `${count(shown.length)} of ${count(ids.length)} images`) + lost;
  if ($("enlarged").open) showTick();
}

// ---- one image, enlarged

function showLarge() {
  const number = shown[active];
  $("title").textContent = ids[number];
  $("place").textContent = `${count(active + 1)} of ${count(shown.length)}`;
  showTick();
  const narrow = window.innerWidth < 640;
  const [w, h] = sizes[number];
  const across = narrow ? 1 : 3;
  const width = Math.floor(($("large").clientWidth - (across - 1) * 10) / across);
  const height = Math.min((width * h) / w, window.innerHeight * (narrow ? 0.5 : 0.58));
  $("large").replaceChildren();
  for (const [kind, title] of [["image", "image"], [state.layer, layers[state.layer]], ["overlay", "overlay"]]) {
    headed($("large"), title, frame(number, kind, width, height, true));
  }
  $("layers").replaceChildren(...layers.map((title, layer) => layerButton(number, title, layer, narrow ? 84 : 108)));
  $("numbers").replaceChildren(...Object.keys(columns).map((key) => {
    const pair = document.createElement("div");
    const value = columns[key][number];
    pair.append(Object.assign(document.createElement("dt"), { textContent: key, title: GALLERY.values[key] }));
    pair.append(Object.assign(document.createElement("dd"), { textContent: value === null ? "–" : value.toFixed(3) }));
    return pair;
  }));
}

function layerButton(number, title, layer, size) {
  const button = document.createElement("button");
  button.type = "button";
  button.ariaPressed = layer === state.layer;
  headed(button, title, frame(number, layer, size, size));
  button.firstChild.style.width = `${size}px`;
  button.onclick = () => setLayer(layer);
  return button;
}

function showTick() {
  const on = ticked.has(ids[shown[active]]);
  $("tick").textContent = on ? "✓ Ticked" : "Tick";
  $("tick").setAttribute("aria-pressed", on);
}

function enlarge(place) {
  if (!shown.length) return;
  active = place;
  showActive();
  $("enlarged").showModal();
  $("enlarged").focus();
  showLarge();
}

function setLayer(layer) {
  if (layer >= layers.length) return;
  state.layer = layer;
  $("layer").value = layer;
  writeAddress();
  layOut();
  if ($("enlarged").open) showLarge();
}

function setView(view) {
  state.view = view;
  document.querySelector(`#views [value=${view}]`).checked = true;
  writeAddress();
  layOut();
}

// ---- the list of ticked images

function csv() {
  const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = ids.map((id, n) => [id, n]).filter(([id]) => ticked.has(id)).map(([id, n]) => `${field(id)},${field(pathOf(n))}`);
  return ["id,path", ...rows, ""].join("\n");
}

function pathOf(number) {
  if (!GALLERY.photographs) return ids[number];
  const address = new URL(ownFile(GALLERY.photographs, number), location.href);
  const path = decodeURIComponent(address.pathname);
  return address.protocol === "file:" ? path.replace(/^\/([A-Za-z]:)/, "$1") : `${GALLERY.photographs.folder}/${GALLERY.photographs.files[number]}`;
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = `look-at-${GALLERY.name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// ---- what the person does

function gridKey(event) {
  const page = Math.max(1, Math.floor(grid.clientHeight / plan.height)) * plan.perRow;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -plan.perRow, ArrowDown: plan.perRow, PageUp: -page, PageDown: page };
  if (event.key in moves) moveTo(active + moves[event.key]);
  else if (event.key === "Home") moveTo(0);
  else if (event.key === "End") moveTo(shown.length - 1);
  else if (event.key === " " && shown.length) tick(shown[active]);
  else if (event.key === "Enter") enlarge(active);
  else return false;
  return true;
}

function largeKey(event) {
  const moves = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  if (event.key in moves) moveTo(active + moves[event.key]);
  else if (event.key === "Home" || event.key === "End") moveTo(event.key === "Home" ? 0 : shown.length - 1);
  else if (event.key === " ") tick(shown[active]);
  else if (/^[1-9]$/.test(event.key)) setLayer(Number(event.key) - 1);
  else if (event.key === "Enter" && document.activeElement === $("enlarged")) $("enlarged").close();
  else return false;
  return true;
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target.matches("input[type=search], select");
  let done = false;
  if ($("enlarged").open) {
    done = !(event.key === " " && event.target.matches("button")) && largeKey(event);
  } else if (event.key === "Escape" || (event.key === "Enter" && event.target === $("filter"))) {
    grid.focus();
    done = true;
  } else if (!typing) {
    done = true;
    if (event.key === "/") $("filter").select();
    else if (event.key === "?") $("help").showModal();
    else if (event.key === "v") setView(VIEWS[(VIEWS.indexOf(state.view) + 1) % VIEWS.length]);
    else done = (event.target === grid || event.target === document.body) && gridKey(event);
  }
  if (done) event.preventDefault();
}

function click(event) {
  const cell = event.target.closest(".cell");
  if (!cell) return;
  const place = Number(cell.id.slice("image-".length));
  if (event.target.closest(".caption")) {
    active = place;
    tick(shown[place]);
    showActive();
  } else {
    enlarge(place);
  }
}

function showState() {
  $("filter").value = state.filter;
  $("sort").value = state.sort;
  $("layer").value = state.layer;
  showDirection();
  document.querySelector(`#views [value=${state.view}]`).checked = true;
  choose();
}

function showDirection() {
  $("direction").textContent = state.down ? "↓" : "↑";
  $("direction").title = $("direction").ariaLabel = state.down ? "Largest first" : state.sort === "name" ? "From A to Z" : "Smallest first";
  if (state.down && state.sort === "name") $("direction").title = $("direction").ariaLabel = "From Z to A";
}

function fill(select, options) {
  for (const [value, text] of options) select.add(new Option(text, value));
}

function start() {
  fill($("sort"), keys.map((name) => [name, name]));
  fill($("layer"), layers.map((title, layer) => [layer, title]));
  const values = Object.keys(columns);
  const example = values.includes("doubt") ? "doubt>0.5 area<0.1" : "area<0.1";
  $("filter").placeholder = `Filter: name, ${example}`;
  $("example").textContent = example;
  for (const name of values) {
    $("about").append(Object.assign(document.createElement("dt"), { textContent: name }));
    $("about").append(Object.assign(document.createElement("dd"), { textContent: GALLERY.values[name] }));
  }
  readAddress();
  showState();
  grid.focus({ preventScroll: true });
}

let drawing = 0;
grid.addEventListener("scroll", () => {
  if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; draw(); });
}, { passive: true });
new ResizeObserver(() => plan && layOut()).observe(grid);
window.addEventListener("resize", () => $("enlarged").open && showLarge());
window.addEventListener("hashchange", () => { readAddress(); showState(); });
document.addEventListener("keydown", key);
grid.addEventListener("click", click);
$("filter").addEventListener("input", () => { state.filter = $("filter").value.trim(); choose(); });
$("sort").addEventListener("change", () => {
  state.sort = $("sort").value;
  state.down = firstDown(state.sort);
  showDirection();
  choose();
});
$("direction").addEventListener("click", () => { state.down = !state.down; showDirection(); choose(); });
$("layer").addEventListener("change", () => setLayer(Number($("layer").value)));
$("views").addEventListener("change", (event) => setView(event.target.value));
$("only").addEventListener("click", () => {
  const words = state.filter.split(/\s+/).filter(Boolean);
  state.filter = words.includes("ticked") ? words.filter((word) => word !== "ticked").join(" ") : [...words, "ticked"].join(" ");
  $("filter").value = state.filter;
  choose();
});
$("save").addEventListener("click", save);
$("clear").addEventListener("click", () => {
  if (confirm(`Take away all ${count(ticked.size)} ticks?`)) { ticked.clear(); keepTicks(); choose(); }
});
$("ask").addEventListener("click", () => $("help").showModal());
$("tick").addEventListener("click", () => tick(shown[active]));
$("previous").addEventListener("click", () => moveTo(active - 1));
$("next").addEventListener("click", () => moveTo(active + 1));
$("close").addEventListener("click", () => $("enlarged").close());
$("enlarged").addEventListener("close", () => grid.focus({ preventScroll: true }));
start();
