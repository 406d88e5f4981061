"use strict";
// The whole page: photographs go to this server by fetch, answers are drawn over them.
const $ = id => document.getElementById(id);
const files = { a: null, b: null };
let info = null, mode = "compare", asked = 0;

function make(name, attributes = {}, ...children) {
  const node = name === "svg" || ["rect", "circle", "g", "text"].includes(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function say(...nodes) { $("answer").replaceChildren(...nodes); }
function fail(text) { say(make("p", { class: "error" }, text)); }

function show(side, file) {
  files[side] = file;
  const label = $("drop-" + side), shown = label.querySelector(".shown");
  const old = shown.querySelector("img");
  if (old) URL.revokeObjectURL(old.src);
  shown.replaceChildren();
  label.classList.toggle("filled", Boolean(file));
  if (file) shown.append(make("img", { src: URL.createObjectURL(file), alt: file.name }));
}

// Boxes and points over a photograph, in its own pixels.
function draw(side, found, labels = []) {
  const shown = $("drop-" + side).querySelector(".shown");
  shown.querySelector("svg")?.remove();
  const svg = make("svg", { viewBox: `0 0 ${found.width} ${found.height}`, "aria-hidden": "true" });
  const unit = Math.max(found.width, found.height) / 100;
  found.faces.forEach((face, i) => {
    const [left, top, right, bottom] = face.box, kind = (labels.length ? labels[i] : i === 0) ? "taken" : "";
    svg.append(make("rect", { x: left, y: top, width: right - left, height: bottom - top, class: kind }));
    const group = make("g", { class: kind });
    for (const [x, y] of face.landmarks) group.append(make("circle", { cx: x, cy: y, r: Math.max(unit / 2, (right - left) / 36) }));
    svg.append(group);
    if (found.faces.length > 1 && labels.length) {
      svg.append(make("text", { x: left, y: Math.max(top - unit, 3.5 * unit), "font-size": 3.5 * unit }, String(i + 1)));
    }
  });
  shown.append(svg);
}

function crops(faces) {
  return make("div", { class: "crops" }, ...faces.filter(face => face.crop).map(face => make("img", { src: face.crop, alt: "the aligned face" })));
}

function stated(threshold) {
  return make("p", { class: "note" }, threshold
    ? `Threshold: ${threshold.angle.toFixed(2)}° at ${threshold.source}.`
    : `No verdict: ${info.how_to_get_a_threshold}`);
}

function marker(angle, text, kind) {
  const place = Math.min(angle, 120) / 120 * 100, mark = make("span", { class: kind }), label = make("em", {}, text);
  mark.style.left = place + "%";
  label.style.left = Math.min(Math.max(place, 12), 88) + "%";
  if (kind === "limit") label.style.top = "-1.6rem";
  return [mark, label];
}

function compared(found) {
  draw("a", found.a);
  draw("b", found.b);
  const said = found.same === null ? "" : found.same ? "The same person" : "Different people";
  const scale = make("div", { class: "scale" }, ...marker(found.angle, `${found.angle.toFixed(1)}°`, "here"));
  if (found.threshold) scale.append(...marker(found.threshold.angle, `threshold ${found.threshold.angle.toFixed(1)}°`, "limit"));
  const several = ["a", "b"].some(side => found[side].faces.length > 1);
  say(
    crops([found.a.faces[0], found.b.faces[0]]),
    make("p", { class: "verdict " + (found.same === null ? "" : found.same ? "same" : "other") }, said || `${found.angle.toFixed(2)}° apart`),
    make("p", {}, `Angle ${found.angle.toFixed(2)}°, cosine ${found.cosine.toFixed(4)}.` + (several ? " Of several faces the largest was taken (green)." : "")),
    scale, stated(found.threshold));
}

function identified(found) {
  draw("a", found, found.faces.map(face => face.person !== null || found.threshold === null));
  if (!found.faces.length) { fail("No face was found."); return; }
  const rows = found.faces.map((face, i) => make("tr", {},
    make("td", {}, String(i + 1)),
    make("td", {}, face.crop ? make("img", { src: face.crop, alt: "the aligned face" }) : ""),
    make("td", { class: face.person ? "same" : "" }, found.threshold ? face.person ?? "unknown" : "no verdict"),
    make("td", {}, face.candidates.map(one => `${one.person} ${one.angle.toFixed(1)}°`).join(", "))));
  const head = make("tr", {}, ...["", "face", "who", "nearest"].map(text => make("th", {}, text)));
  say(make("table", {}, head, ...rows), stated(found.threshold));
}

async function ask() {
  const wanted = mode === "compare" ? ["a", "b"] : ["a"];
  for (const side of ["a", "b"]) $("drop-" + side).querySelector("svg")?.remove();
  if (!wanted.every(side => files[side])) { say(); return; }
  for (const side of wanted) {
    if (files[side].size > info.limits.file_bytes) { fail(`${files[side].name} is larger than ${info.limits.file_bytes / 1e6} MB.`); return; }
  }
  const form = new FormData(), turn = ++asked;
  for (const side of wanted) form.append(mode === "compare" ? side : "photo", files[side]);
  say(make("p", { class: "note" }, "Looking …"));
  try {
    const response = await fetch(`${mode}?crops=1`, { method: "POST", body: form });
    const found = await response.json();
    if (turn !== asked) return;
    if (!response.ok) { fail(found.error); return; }
    (mode === "compare" ? compared : identified)(found);
  } catch (error) {
    if (turn === asked) fail("The server does not answer; is it still running?");
  }
}

function choose(next) {
  mode = next;
  for (const name of ["compare", "identify"]) $("mode-" + name).setAttribute("aria-pressed", String(name === next));
  $("drop-b").hidden = next === "identify";
  $("photos").classList.toggle("one", next === "identify");
  document.querySelector("h1").textContent = next === "compare" ? "Are these one person?" : "Who is it?";
  ask();
}

for (const side of ["a", "b"]) {
  const label = $("drop-" + side);
  $("file-" + side).addEventListener("change", event => { show(side, event.target.files[0] ?? null); ask(); });
  label.addEventListener("dragover", event => { event.preventDefault(); label.classList.add("over"); });
  label.addEventListener("dragleave", () => label.classList.remove("over"));
  label.addEventListener("drop", event => {
    event.preventDefault();
    label.classList.remove("over");
    if (event.dataTransfer.files.length) { show(side, event.dataTransfer.files[0]); ask(); }
  });
}
// A photograph dropped beside the boxes must not replace the page.
for (const name of ["dragover", "drop"]) window.addEventListener(name, event => event.preventDefault());
for (const name of ["compare", "identify"]) $("mode-" + name).addEventListener("click", () => choose(name));

fetch("info").then(response => response.json()).then(found => {
  info = found;
  $("model").textContent = `Model: ${found.model.path}.` + (found.gallery ? ` Gallery: ${found.gallery.people.length} people, ${found.gallery.faces} faces.` : "");
  $("mode-identify").hidden = !found.gallery;
  if (found.warning) { $("warning").textContent = `Warning: ${found.warning}.`; $("warning").hidden = false; }
  document.body.dataset.ready = "1";
});
