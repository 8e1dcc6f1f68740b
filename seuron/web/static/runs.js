"use strict";
// The table of runs, asked for again every few seconds.

const ACTIVE = ["waiting", "running", "held", "inspecting"];
const FILTERS = {
  all: () => true,
  active: (run) => ACTIVE.includes(run.state),
  failed: (run) => run.state === "failed",
};
let filter = "all";
let shown = "";
let rows = [];

function progressCell(run) {
  const progress = run.progress;
  const cell = el("td");
  if (progress) {
    const sums = progress.stages.reduce((sum, stage) => ({ running: sum.running + stage.running, failed: sum.failed + stage.failed }), { running: 0, failed: 0 });
    const stage = progress.stages.find((found) => found.name === progress.stage);
    cell.append(meter({ ...progress, ...sums }), el("div", { class: "line soft small" },
      stage ? el("span", {}, el("b", {}, stage.name.replace("_", " ")), ` ${stageWords(stage)}`) : null,
      el("span", {}, `${count(progress.done)} of ${count(progress.tasks)} tasks`),
      el("span", {}, `${progress.shape.join(" × ")} voxels`)));
  }
  if (run.problem) cell.append(el("div", { class: "failure" }, run.problem));
  for (const failure of run.failures.filter(() => run.state !== "cancelled" && run.state !== "held")) {
    cell.append(el("div", { class: "failure" }, airflowLink(failure.page, failure.label), el("div", { class: "reason" }, failure.reason)));
  }
  if (run.state === "failed" && run.failed > run.failures.length) cell.append(el("div", { class: "failure soft" }, `and ${run.failed - run.failures.length} more`));
  if (run.gate) cell.append(el("div", { class: "ask" }, `Look at ${run.gate.stage.replace("_", " ")}, then `, airflowLink(run.gate.page, "answer"), ".",
    run.gate.problems.length ? el("div", { class: "reason" }, `The last redo was refused:\n${run.gate.problems.join("\n")}`) : ""));
  const said = run.failures.some((failure) => run.state === "failed" && failure.reason.includes(run.note.slice(0, 60)));
  if (run.stop || (run.note && !said)) cell.append(el("div", { class: "remark soft" }, run.stop || run.note));
  return cell;
}

function row(run, now) {
  const left = run.progress && run.progress.seconds_left;
  const took = run.started ? (run.ended || now) - run.started : null;
  const actions = el("td", { class: "n actions" }, airflowLink(run.page, "Airflow"));
  if (run.report) actions.prepend(el("a", { href: `${PAGES}report/${runPath(run)}` }, "Report"));
  if (run.progress) actions.prepend(el("a", { href: volumeLink(run) }, "Volume"));
  return el("tr", { "data-run": run.run_id },
    el("td", {}, el("div", { class: "name" }, run.progress ? el("a", { href: volumeLink(run) }, run.name) : run.name),
      el("div", { class: "path" }, run.run_id), run.started ? el("div", { class: "path" }, clock(run.started)) : null),
    el("td", {}, pill(run.state)),
    progressCell(run),
    el("td", { class: "n" }, ACTIVE.includes(run.state) && left ? `about ${duration(left)}` : ""),
    el("td", { class: "n" }, took === null ? "" : duration(took)),
    el("td", { class: "n" }, run.dollars === null ? "" : `$${run.dollars.toFixed(2)}`),
    actions);
}

function draw(now) {
  const counts = Object.fromEntries(Object.entries(FILTERS).map(([name, test]) => [name, rows.filter(test).length]));
  document.getElementById("filter").replaceChildren(...Object.keys(FILTERS).map((name) =>
    el("button", { "aria-pressed": String(name === filter), onclick: () => { filter = name; draw(now); } }, `${name} ${counts[name]}`)));
  document.getElementById("empty").hidden = rows.length > 0;
  document.getElementById("runs").hidden = rows.length === 0;
  document.getElementById("summary").textContent = counts.active ? `${counts.active} active` : "";
  document.querySelector("#runs tbody").replaceChildren(...rows.filter(FILTERS[filter]).map((run) => row(run, now)));
}

repeat(async () => {
  const found = await ask("api/runs");
  rows = found.runs;
  const active = rows.some(FILTERS.active);
  const same = JSON.stringify(rows);
  if (same !== shown || active) draw(found.now);
  shown = same;
  return active ? 3000 : 8000;
});
