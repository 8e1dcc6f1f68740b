"use strict";
// The map of a tier: one slice of its grid on a canvas, and a strip that shows how far each slice is.

class TierMap {
  // `pick(place)` is called with the place of a clicked task, counted from the map's corner; `turn(z)` with a slice.
  constructor(cells, slices, pick, turn) {
    this.cells = cells;
    this.slices = slices;
    this.slice = null;
    this.picked = null;
    cells.addEventListener("click", (event) => {
      const place = this.placeAt(event);
      if (place) pick(place);
    });
    cells.addEventListener("mousemove", (event) => { cells.title = this.words(this.placeAt(event)); });
    cells.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step || !this.slice) return;
      event.preventDefault();
      const [x, y] = this.picked || [0, 0];
      const { factor, shape, z } = this.slice;
      pick([Math.min(Math.max(0, x + step[0] * factor), shape[0] - 1), Math.min(Math.max(0, y + step[1] * factor), shape[1] - 1), z]);
    });
    slices.addEventListener("click", (event) => {
      if (this.slice) turn(Math.min(this.slice.shape[2] - 1, Math.floor(event.offsetY / this.step)));
    });
    new ResizeObserver(() => this.draw()).observe(cells.parentElement);
  }

  show(slice, picked) {
    this.slice = slice;
    this.picked = picked;
    this.draw();
  }

  // The place of the square under the mouse, or of its first task where it joins several.
  placeAt(event) {
    if (!this.slice) return null;
    const { factor, shape, z } = this.slice;
    const x = Math.floor(event.offsetX / this.side) * factor;
    const y = Math.floor(event.offsetY / this.side) * factor;
    return x < shape[0] && y < shape[1] ? [x, y, z] : null;
  }

  words(place) {
    if (!place) return "";
    const { factor, corner, cells } = this.slice;
    const found = cells.find((cell) => cell[0] * factor === place[0] && cell[1] * factor === place[1]);
    const index = place.map((value, axis) => value + corner[axis]);
    if (!found) return "";
    return factor === 1 ? `(${index.join(", ")})` : `from (${index.join(", ")}): ${found[3]} of ${found[2]} done`;
  }

  draw() {
    if (!this.slice) return;
    const { shape, factor, cells, z } = this.slice;
    const columns = Math.ceil(shape[0] / factor), lines = Math.ceil(shape[1] / factor);
    const room = this.cells.parentElement.clientWidth - (shape[2] > 1 ? 70 : 0);
    const high = Math.max(260, window.innerHeight - this.cells.getBoundingClientRect().top - window.scrollY - 90);
    this.side = Math.max(3, Math.min(64, Math.floor(Math.min(room / columns, high / lines))));
    const context = prepare(this.cells, columns * this.side, lines * this.side);
    const colours = palette();
    const gap = this.side > 8 ? 2 : this.side > 4 ? 1 : 0.5;
    const round = Math.min(5, this.side / 7);
    for (const [x, y, total, done, running, failed] of cells) {
      const left = x * this.side, top = y * this.side, size = this.side - gap;
      const fill = (colour, share) => {
        context.globalAlpha = share;
        context.fillStyle = colour;
        context.beginPath();
        if (this.side > 8) context.roundRect(left, top, size, size, round); else context.rect(left, top, size, size);
        context.fill();
      };
      fill(colours.waiting, 1);
      if (done) fill(colours.done, total === 1 ? 1 : 0.15 + 0.85 * done / total);
      if (running) fill(colours.running, total === 1 ? 1 : 0.35);
      if (failed) fill(colours.failed, 1);
    }
    context.globalAlpha = 1;
    if (this.picked && this.picked[2] === z) {
      const [x, y] = this.picked.map((value) => Math.floor(value / factor) * this.side);
      context.strokeStyle = colours.ink;
      context.lineWidth = 2;
      context.beginPath();
      context.roundRect(x + 0.5, y + 0.5, this.side - gap - 1, this.side - gap - 1, round);
      context.stroke();
    }
    this.drawSlices(lines * this.side, colours);
  }

  drawSlices(height, colours) {
    const { slices, z } = this.slice;
    this.slices.hidden = slices.length < 2;
    if (slices.length < 2) return;
    this.step = Math.max(2, Math.min(26, Math.max(height, 180) / slices.length));
    const width = 44;
    const context = prepare(this.slices, width + 8, Math.ceil(this.step * slices.length));
    slices.forEach(([total, done, , failed], index) => {
      const top = index * this.step, size = Math.max(1, this.step - (this.step > 5 ? 2 : 0));
      context.fillStyle = colours.waiting;
      context.fillRect(8, top, width, size);
      context.fillStyle = failed ? colours.failed : colours.done;
      context.fillRect(8, top, width * done / Math.max(1, total), size);
      if (index === z) {
        context.fillStyle = colours.ink;
        context.fillRect(0, top, 4, size);
      }
    });
  }
}

// A canvas of so many pixels of the page, sharp on any screen.
function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["waiting", "running", "done", "failed", "ink"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
