// ---- pictures

function pictureFile(number, maps) {
  return `pictures/${Math.floor(number / perFolder)}/${number}${maps ? "-maps" : ""}.webp`;
}

function ownFile(places, number) {
  return places && `${places.folder}/${places.files[number]}`.split("/").map(encodeURIComponent).join("/");
}

function block(name, parent) {
  const made = document.createElement("div");
  made.className = name;
  parent?.append(made);
  return made;
}

const there = new Set(); // large files that have been loaded

function setPicture(element, file, large) {
  const show = () => Object.assign(element.style, { backgroundImage: `url("${large}")`, backgroundSize: "", backgroundPosition: "" });
  if (there.has(large)) return show();
  element.style.backgroundImage = `url("${file}")`;
  if (!large) return;
  const probe = new Image(); // the small picture stays where the file has gone, or is of a kind that browsers cannot show
  probe.onload = () => { there.add(large); show(); };
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
