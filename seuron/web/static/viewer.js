"use strict";
// Neuroglancer in its frame. Layers come as they are written, and what a person has set stays.

class Viewer {
  constructor(frame, note) {
    this.frame = frame;
    this.note = note;
    this.run = null;
    this.layers = "";
  }

  async update(run) {
    const found = await ask(`api/runs/${runPath(run)}/viewer`);
    const names = Object.keys(found.layers);
    this.note.textContent = names.length ? "" : "Nothing to show yet: no layer has been written.";
    if (!names.length) return;
    const state = JSON.parse(JSON.stringify(found.state).replaceAll("HERE/", `${location.origin}${PAGES}`));
    const layers = JSON.stringify(found.layers);
    if (this.run !== run.run_id) {
      this.frame.src = `${PAGES}v/run/#!${encodeURIComponent(JSON.stringify(state))}`;
    } else if (layers !== this.layers && this.viewer()) {
      this.viewer().state.restoreState(merged(this.viewer().state.toJSON(), state));
    }
    this.run = run.run_id;
    this.layers = layers;
  }

  // The viewer in the frame, once it is there.
  viewer() {
    return this.frame.contentWindow && this.frame.contentWindow.viewer;
  }

  // Go to the middle of a box, in voxels, once the viewer is there.
  async goTo(box) {
    for (let tries = 0; tries < 100 && !(this.viewer() && this.viewer().state); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const position = box[0].map((low, axis) => (low + box[1][axis]) / 2);
    const viewer = this.viewer();
    if (viewer) viewer.state.restoreState({ ...viewer.state.toJSON(), position });
  }
}

// What is shown now, with the new sources of its layers, and the layers that have come.
function merged(now, next) {
  const have = Object.fromEntries((now.layers || []).map((layer) => [layer.name, layer]));
  const layers = next.layers.map((layer) => (have[layer.name] ? { ...have[layer.name], source: layer.source } : layer));
  const grown = layers.some((layer) => !have[layer.name]);
  return { ...now, layers, ...(grown ? { layout: next.layout } : {}) };
}
