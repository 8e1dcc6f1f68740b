"use strict";
// One run: its stages, the map of the tier that is running or was chosen, a task's details, and the viewer.

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
let run = asked.has("dag_id") && asked.has("run_id") ? { dag_id: asked.get("dag_id"), run_id: asked.get("run_id") } : null;
let head = null;
let chosen = null; // the name of a map; null follows the run
let z = null; // the slice; null follows the run
let picked = null; // the place of a task
let tab = "map";
const map = new TierMap(at("cells"), at("slices"), pick, (height) => { z = height; again(); });
const viewer = new Viewer(at("neuroglancer"), at("viewer-note"));

const words = (name) => name.replaceAll("_", " ");

function currentStage() {
  const stages = head.progress.stages;
  return stages.find((stage) => stage.done < stage.tasks) || stages.findLast((stage) => stage.tasks > 1) || stages[stages.length - 1];
}

const stageOf = (grid) => head.progress.stages.find((stage) => stage.grids.includes(grid));

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
    "aria-pressed": String(stage.grids.includes(selected)),
    onclick: () => { chosen = firstGrid(stage); z = null; picked = null; again(); },
  }, el("div", { class: "title", title: words(stage.name) }, words(stage.name)), meter(stage), el("div", { class: "count" }, stageWords(stage))))));
}

// The leaves are what most people want to see.
const firstGrid = (stage) => stage.grids[0];

function drawTiers(stage, selected) {
  const title = (grid) => {
    const [, tier, layer] = grid.split(".");
    return layer ? `${layer}${stage.grids.filter((other) => other.split(".")[2] === layer).length > 1 ? ` ${tier}` : ""}` : `tier ${tier}`;
  };
  at("tiers").replaceChildren(...(stage.grids.length > 1 ? stage.grids.map((grid) =>
    el("button", { "aria-pressed": String(grid === selected), onclick: () => { chosen = grid; z = null; picked = null; again(); } }, title(grid))) : [el("b", {}, words(stage.name))]));
}

function drawMap(slice) {
  at("grid").textContent = `${slice.shape.join(" × ")} tasks`;
  at("slider").hidden = slice.shape[2] < 2;
  at("z").max = slice.shape[2] - 1;
  at("z").value = slice.z;
  at("z-value").textContent = `${slice.z + 1} of ${slice.shape[2]}`;
  at("joined").textContent = slice.factor > 1 ? `· a square is ${slice.factor} × ${slice.factor} tasks` : "";
  map.show(slice, picked);
}

async function pick(place) {
  picked = place;
  map.show(map.slice, picked);
  at("details").replaceChildren(el("p", { class: "soft" }, "…"));
  await showDetails();
}

async function showDetails() {
  if (!picked || !map.slice) return;
  const [x, y, height] = picked;
  try {
    drawDetails(await ask(`api/runs/${runPath(run)}/task?grid=${encodeURIComponent(map.slice.grid)}&x=${x}&y=${y}&z=${height}`));
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
    el("h2", {}, task.label), pill(task.state === "done" ? "succeeded" : task.state),
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
  const grid = chosen || firstGrid(currentStage());
  drawStages(grid);
  if (tab === "viewer") await viewer.update(run);
  else {
    drawTiers(stageOf(grid), grid);
    const slice = await ask(`api/runs/${runPath(run)}/map?grid=${encodeURIComponent(grid)}&z=${z ?? 0}`);
    if (z === null) {
      // The first slice in which something is left to do, or the middle one.
      const busy = slice.slices.findIndex(([total, done]) => done < total);
      z = busy >= 0 ? busy : Math.floor(slice.shape[2] / 2);
      if (z !== slice.z) return update();
      z = chosen ? z : null;
    }
    drawMap(slice);
    if (head.state === "running") showDetails();
  }
  return ["running", "waiting", "held", "inspecting"].includes(head.state) ? 2500 : 15000;
}

at("z").addEventListener("input", () => { z = Number(at("z").value); again(); });
at("tab-map").addEventListener("click", () => open("map"));
at("tab-viewer").addEventListener("click", () => open("viewer"));
const again = repeat(update);
