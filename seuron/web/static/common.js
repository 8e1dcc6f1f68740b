"use strict";
// What both pages need: where they are, the theme of the page around, elements, words for figures, requests.

const PAGES = location.pathname.slice(0, location.pathname.indexOf("/seuron/") + 8);
const AIRFLOW = PAGES.slice(0, -7);

function setTheme() {
  // Airflow keeps its choice here; both pages are of one origin.
  const chosen = localStorage.getItem("theme");
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
setTheme();
addEventListener("storage", setTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setTheme);

// An element; children are elements or text, never markup.
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// A link to a page of Airflow. In its frame it may not leave it by itself, so the page around follows it.
function airflowLink(path, ...children) {
  const link = el("a", { href: AIRFLOW + path }, ...children);
  link.addEventListener("click", (event) => {
    if (window.parent === window) return;
    event.preventDefault();
    const outside = window.parent.document.createElement("a");
    outside.href = link.href;
    if (event.ctrlKey || event.metaKey) outside.target = "_blank";
    window.parent.document.body.append(outside);
    outside.click();
    outside.remove();
  });
  return link;
}

const runPath = (run) => `${encodeURIComponent(run.dag_id)}/${encodeURIComponent(run.run_id)}`;
const volumeLink = (run) => `${PAGES}volume?dag_id=${encodeURIComponent(run.dag_id)}&run_id=${encodeURIComponent(run.run_id)}`;

const pill = (state) => el("span", { class: `pill ${state}` }, state);
const count = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
const percent = (share) => `${share > 0 && share < 0.01 ? "<1" : Math.floor(share * 100)}\u00a0%`;

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)}\u00a0s`;
  if (seconds < 60) return `${Math.round(seconds)}\u00a0s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes}\u00a0min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}\u00a0h ${String(minutes % 60).padStart(2, "0")}\u00a0min` : `${Math.round(hours / 24)}\u00a0days`;
}

function memory(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1000 && unit < 4) { bytes /= 1024; unit += 1; }
  return `${bytes.toFixed(bytes < 10 && unit ? 1 : 0)}\u00a0${units[unit]}`;
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

// A bar of finished, failed and running tasks.
function meter(row) {
  const part = (number, kind) => number ? el("i", { class: kind, style: `width:${100 * number / Math.max(1, row.tasks)}%` }) : null;
  return el("div", { class: "meter", title: `${row.done} of ${row.tasks} tasks` },
    part(row.done, ""), part(row.failed, "failed"), part(row.running, "running"));
}

// What a stage has done, by chunks where it goes by them.
const stageWords = (stage) => stage.chunks && stage.chunks_done < stage.chunks
  ? `${count(stage.chunks_done)} of ${count(stage.chunks)} chunks` : `${count(stage.done)} of ${count(stage.tasks)} tasks`;

class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(path) {
  const answer = await fetch(`${PAGES}${path}`, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (answer.ok) return answer.json();
  let detail = answer.statusText;
  try { detail = (await answer.json()).detail; } catch { /* not JSON: the status must do */ }
  throw new Refusal(answer.status, detail);
}

// Do something again and again, not while nobody sees it; it says after how many milliseconds.
function repeat(action) {
  let timer = null;
  const notice = document.getElementById("notice");
  async function turn() {
    clearTimeout(timer);
    let pause = 3000;
    if (!document.hidden) {
      try {
        pause = await action();
        notice.hidden = true;
      } catch (error) {
        notice.textContent = error.status === 401 ? "You are not logged in any more; reload the page."
          : error.status ? error.message : "The server does not answer; trying again.";
        notice.hidden = false;
        pause = 6000;
      }
    }
    timer = setTimeout(turn, pause);
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
  turn();
  return turn;
}
