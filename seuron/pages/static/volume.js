"use strict";
// One run: its stages, the map of the tier that is at work or was chosen, a task's details, and the viewer.

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
let run = asked.has("run_id") ? { dag_id: asked.get("dag_id") || "segmentation", run_id: asked.get("run_id") } : null;
let head = null;
let chosen = null; // the name of a map; null follows the work
let z = null; // the slice; null follows the work
let picked = null; // the place of a task
let tab = "map";
const map = new SheetMap(at("cells"), at("slices"), pick, (slice) => { z = slice; again(); });
const viewer = new Viewer(at("neuroglancer"), at("viewer-note"));

const words = (name) => name.replaceAll("_", " ");

function stageAtWork() {
  const stages = head.progress.stages;
  return stages.find((stage) => stage.done < stage.tasks) || stages.find((stage) => stage.name === "labels") || stages[stages.length - 1];
}

const stageOf = (sheet) => head.progress.stages.find((stage) => stage.sheets.includes(sheet));

function drawHead() {
  at("name").textContent = head.name;
  at("state").replaceChildren(pill(head.state));
  const progress = head.progress;
  const left = progress && progress.seconds_left;
  at("summary").textContent = !progress ? "" : [
    progress.done < progress.tasks ? percent(progress.share) : "",
    `${count(progress.done)} of ${count(progress.tasks)} tasks`,
    left ? `about ${duration(left)} left` : "",
    `${progress.shape.join(" × ")} voxels of ${progress.resolution_nm.join(" × ")} nm`,
  ].filter(Boolean).join(" · ");
  at("links").replaceChildren(
    head.gate ? airflowLink(head.gate.page, "Answer the inspection") : "",
    head.report ? el("a", { href: `${PAGES}report/${runPath(run)}` }, "Report") : "",
    airflowLink(head.page, "Airflow"));
}

function drawStages(selected) {
  const stages = head.progress.stages;
  at("stages").replaceChildren(...stages.map((stage) => el("li", {}, el("button", {
    "aria-pressed": String(stage.sheets.includes(selected)),
    onclick: () => { chosen = bestSheet(stage); z = null; picked = null; again(); },
  }, el("div", { class: "title", title: words(stage.name) }, words(stage.name)), meter(stage), el("div", { class: "count" }, stageWords(stage))))));
}

// The leaves are what most want to see; while they are done, the tier above them that is at work is not known here.
const bestSheet = (stage) => stage.sheets[0];

function drawTiers(stage, selected) {
  const title = (sheet) => {
    const [, tier, layer] = sheet.split(".");
    return layer ? `${layer}${stage.sheets.filter((other) => other.split(".")[2] === layer).length > 1 ? ` ${tier}` : ""}` : `tier ${tier}`;
  };
  at("tiers").replaceChildren(...(stage.sheets.length > 1 ? stage.sheets.map((sheet) =>
    el("button", { "aria-pressed": String(sheet === selected), onclick: () => { chosen = sheet; z = null; picked = null; again(); } }, title(sheet))) : [el("b", {}, words(stage.name))]));
}

function drawMap(cut) {
  at("grid").textContent = `${cut.shape.join(" × ")} tasks`;
  at("slider").hidden = cut.shape[2] < 2;
  at("z").max = cut.shape[2] - 1;
  at("z").value = cut.z;
  at("z-value").textContent = `${cut.z + 1} of ${cut.shape[2]}`;
  at("joined").textContent = cut.factor > 1 ? `· a square is ${cut.factor} × ${cut.factor} tasks` : "";
  map.show(cut, picked);
}

async function pick(place) {
  picked = place;
  map.show(map.cut, picked);
  at("details").replaceChildren(el("p", { class: "soft" }, "…"));
  await showDetails();
}

async function showDetails() {
  if (!picked || !map.cut) return;
  const [x, y, slice] = picked;
  try {
    drawDetails(await ask(`api/runs/${runPath(run)}/task?sheet=${encodeURIComponent(map.cut.sheet)}&x=${x}&y=${y}&z=${slice}`));
  } catch (error) {
    at("details").replaceChildren(el("p", { class: "soft" }, error.message));
  }
}

function drawDetails(task) {
  const record = task.record;
  const facts = {
    Stage: `${words(task.stage)}, tier ${task.tier}`,
    Box: `${task.box[0].join(", ")} to ${task.box[1].join(", ")}`,
    Chunks: task.chunks > 1 ? count(task.chunks) : null,
    Reads: task.reads ? `${count(task.reads)} tasks` : null,
    Took: record && `${duration(record.seconds)} (planned ${task.planned.seconds < 0.05 ? "less" : duration(task.planned.seconds)})`,
    Processor: record && duration(record.cpu_seconds),
    Memory: record ? `${memory(record.memory)} (planned ${memory(task.planned.memory)})` : `${memory(task.planned.memory)} planned`,
    Outcome: record && record.outcome,
    Ended: record && clock(record.ended),
    Host: record && record.host,
    Tries: task.airflow ? task.airflow.tries : null,
  };
  const counts = Object.entries((record && record.counts) || {});
  const list = (pairs) => el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
  at("details").replaceChildren(
    el("h2", {}, task.label), pill(task.state === "done" ? "succeeded" : task.state === "working" ? "running" : task.state),
    list(Object.entries(facts).filter(([, value]) => value !== null && value !== undefined)),
    counts.length ? list(counts.map(([name, value]) => [words(name), count(value)])) : "",
    el("div", { class: "go" },
      task.airflow ? airflowLink(task.airflow.page, "Log in Airflow") : el("span", { class: "soft" }, "This start of the run had nothing to do here."),
      el("button", { onclick: async () => { await open("viewer"); viewer.goTo(task.box); } }, "Show in Neuroglancer")));
}

async function open(name) {
  tab = name;
  for (const other of ["map", "viewer"]) {
    at(other).hidden = other !== name;
    at(`tab-${other}`).setAttribute("aria-selected", String(other === name));
  }
  await again();
}

async function chooseRun() {
  const { runs } = await ask("api/runs");
  const shown = runs.filter((found) => found.progress || (run && found.run_id === run.run_id));
  if (!run && shown.length) run = { dag_id: shown[0].dag_id, run_id: shown[0].run_id };
  const known = shown.map((found) => el("option", { value: runPath(found), selected: run && found.run_id === run.run_id }, `${found.name} – ${found.state}`));
  at("run").replaceChildren(...known);
  at("run").onchange = () => {
    const [dag, name] = at("run").value.split("/").map(decodeURIComponent);
    location.search = new URLSearchParams({ dag_id: dag, run_id: name });
  };
}

async function update() {
  if (!at("run").options.length) await chooseRun();
  if (!run) {
    at("summary").textContent = "No run has been prepared yet.";
    return 5000;
  }
  head = await ask(`api/runs/${runPath(run)}`);
  drawHead();
  if (!head.progress) {
    at("summary").textContent = head.problem || head.note || "The run is not prepared yet.";
    return 3000;
  }
  document.body.classList.add("ready");
  const sheet = chosen || bestSheet(stageAtWork());
  drawStages(sheet);
  if (tab === "viewer") await viewer.update(run);
  else {
    drawTiers(stageOf(sheet), sheet);
    const cut = await ask(`api/runs/${runPath(run)}/map?sheet=${encodeURIComponent(sheet)}&z=${z ?? 0}`);
    if (z === null) {
      // The first slice in which something is left to do, or the middle one.
      const busy = cut.slices.findIndex(([total, done]) => done < total);
      z = busy >= 0 ? busy : Math.floor(cut.shape[2] / 2);
      if (z !== cut.z) return update();
      z = chosen ? z : null;
    }
    drawMap(cut);
    if (head.state === "running") showDetails();
  }
  return ["running", "waiting", "held", "inspecting"].includes(head.state) ? 2500 : 15000;
}

at("z").addEventListener("input", () => { z = Number(at("z").value); again(); });
at("tab-map").addEventListener("click", () => open("map"));
at("tab-viewer").addEventListener("click", () => open("viewer"));
const again = repeat(update);
