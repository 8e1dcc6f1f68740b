"""The viewer in a real browser, with no network: every layer loads and shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser
from numpy.typing import NDArray

from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.pipelines.products.params import ProductsParams
from seuron.web.viewer import ensure_server, stop_server, view_run

#: Generous: software rendering on a busy machine; it is a limit, not a wait.
PATIENCE_MS = 60_000

LOADED = """() => window.viewer && viewer.layerManager.managedLayers.length === %d && viewer.isReady()
  && viewer.layerManager.managedLayers.every(m => m.layer && m.layer.renderLayers.some(
      r => r.layerChunkProgressInfo.numVisibleChunksNeeded > 0
        && r.layerChunkProgressInfo.numVisibleChunksAvailable === r.layerChunkProgressInfo.numVisibleChunksNeeded))"""
PROBLEMS = """() => viewer.layerManager.managedLayers.flatMap(m => m.layer.dataSources.flatMap(d => [
    ...(d.loadState === undefined || d.loadState.error ? [m.name + ': ' + (d.loadState && d.loadState.error)] : []),
    ...[...d.messages].map(message => m.name + ': ' + message.message)]))
  .concat([...document.querySelectorAll('.neuroglancer-status-container li, .neuroglancer-layer-group-viewer .error')]
    .filter(e => e.offsetParent !== null).map(e => e.textContent))"""
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PANELS = """() => [...document.querySelectorAll('.neuroglancer-rendered-data-panel')].map(e => {
    const r = e.getBoundingClientRect();
    return [r.left, r.top, r.right, r.bottom].map(Math.round)})"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server in the background."""
    yield ensure_server(tmp_path)
    stop_server(tmp_path)


@pytest.fixture
def page() -> Iterator[Any]:
    with browser() as opened:
        yield opened.new_page(viewport={"width": 1400, "height": 850})


def _pixels(page: Any) -> NDArray[np.int16]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(np.int16)


def _centres(page: Any) -> list[NDArray[np.int16]]:
    """The middle of each data panel, (rows, columns, RGB), free of its scale bar and buttons."""
    shown, cut = _pixels(page), []
    for left, top, right, bottom in page.evaluate(PANELS):
        x, y, w, h = (left + right) // 2, (top + bottom) // 2, (right - left) // 4, (bottom - top) // 4
        cut.append(shown[y - h : y + h, x - w : x + w])
    return cut


def _coloured(panel: NDArray[np.int16]) -> float:
    """The share of pixels that are neither black, white nor grey."""
    return float((panel.max(axis=2) - panel.min(axis=2) > 25).mean())


def test_all_layers_show_without_a_network(small_run: Run, server: str, tmp_path: Path, page: Any) -> None:
    """Opened as a user opens it: no request leaves the machine, no error, and colours where labels are."""
    elsewhere: list[str] = []
    failed: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((server, "blob:", "data:")) else elsewhere.append(r.url))
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("pageerror", lambda error: failed.append(str(error)))

    page.goto(view_run(small_run, tmp_path))
    page.wait_for_function(LOADED % 5, timeout=PATIENCE_MS)

    assert page.evaluate(PROBLEMS) == []
    panels = _centres(page)
    assert len(panels) == 4 + 3
    for number, panel in enumerate(panels):
        assert panel.std() > 5, f"panel {number} is empty"
        # Affinities are white but for the membranes; labels colour everything.
        assert _coloured(panel) > (0.02 if number == 4 else 0.5), f"panel {number} has no colours"

    page.evaluate("() => viewer.layerManager.getLayerByName('segmentation').setVisible(false)")
    page.wait_for_function("() => viewer.isReady()", timeout=PATIENCE_MS)
    page.evaluate(DRAWN)
    image = _centres(page)[0]
    assert _coloured(image) < 0.05, "without labels the image is grey"
    assert image.std() > 5
    assert (elsewhere, failed) == ([], [])


@pytest.mark.long
def test_both_formats_show_the_same_picture(
    small_run: Run, ome_run: Run, server: str, tmp_path: Path, page: Any
) -> None:
    """OME-Zarr lies where precomputed volumes lie, to the pixel, and channels are channels to shaders."""
    shown = []
    for run in (small_run, ome_run):
        page.goto(view_run(run, tmp_path))
        page.wait_for_function(LOADED % 5, timeout=PATIENCE_MS)
        assert page.evaluate(PROBLEMS) == []
        page.evaluate(DRAWN)
        shown.append(_centres(page))
    for number, (first, second) in enumerate(zip(*shown, strict=True)):
        different = (np.abs(first - second).max(axis=2) > 8).mean()
        assert different < 0.01, f"panel {number} differs in {different:.1%} of its pixels"


def test_meshes_of_the_largest_segments_are_on_the_picture(
    small_run: Run, server: str, tmp_path: Path, page: Any
) -> None:
    """The products of a segmentation: its largest segments are selected, and the panel in 3D shows their surfaces."""
    params = ProductsParams(
        segmentation=small_run.layer("segmentation"),
        image=small_run.params.image,
        output=str(tmp_path / "products"),
        products=("segment_table", "meshes"),
    )
    made = run_local(params)
    failed: list[str] = []
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(view_run(made, tmp_path))
    page.wait_for_function(LOADED % 2, timeout=PATIENCE_MS)
    assert page.evaluate(PROBLEMS) == []
    page.evaluate("() => viewer.layout.restoreState({type: 'viewer', layout: '3d', layers: ['segmentation']})")
    page.wait_for_function("() => viewer.isReady()", timeout=PATIENCE_MS)
    page.evaluate(DRAWN)
    with_meshes = _coloured(_centres(page)[0])
    page.evaluate(
        "() => viewer.layerManager.getLayerByName('segmentation').layer.displayState.segmentationGroupState.value"
        ".visibleSegments.clear()"
    )
    page.evaluate(DRAWN)
    assert with_meshes > 0.2 > _coloured(_centres(page)[0]), "no surface is drawn, or something else is"
    assert failed == []
