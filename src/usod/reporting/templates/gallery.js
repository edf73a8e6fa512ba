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
