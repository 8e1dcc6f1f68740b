"""Makes the pictures of the docs: `python docs/pictures.py RUN [--airflow URL]`, after a `make run`.

RUN is the output folder of a finished run and URL its page in this machine's Airflow, as `make run` prints them. Writes
docs/images/synthetic.png (a section of `seuron synth` tissue), sweep.svg, and with headless Chromium
viewer.png, report.png, airflow.png, and those of docs/web-ui.md: runs.png, volume.png, volume-viewer.png,
form.png, and gate.png where a run waits at a gate. `--only-pages` writes the last five alone.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from seuron.client import connect
from seuron.client.gates import waiting_gates
from seuron.commands.argument_types import parse_thresholds
from seuron.commands.results import THRESHOLDS
from seuron.deployment import Deployment
from seuron.engine.run import Run
from seuron.pipelines.segmentation.analysis import sweep_run
from seuron.pipelines.segmentation.analysis.sweep_page import render_plot
from seuron.storage import local_folder
from seuron.synth import synthesize
from seuron.web.viewer import stop_server, view_run

IMAGES = Path(__file__).parent / "images"
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",  # WebGL2 without a graphics card
]
#: How long a page is waited for, ms.
PATIENCE = 120_000
#: Neuroglancer has drawn all it needs.
LOADED = "() => window.viewer && viewer.isReady()"


def synthetic() -> None:
    """One section of synthetic tissue, and the same with its labels."""
    volume = synthesize((512, 320, 48), seed=7)
    grey = volume.image[:, :, 24].T
    labels = volume.labels[:, :, 24].T
    colours = np.random.default_rng(3).integers(60, 255, (int(labels.max()) + 1, 3))
    colours[0] = 0
    tinted = (0.6 * grey[..., None] + 0.4 * colours[labels]).astype(np.uint8)
    both = np.hstack([np.repeat(grey[..., None], 3, axis=2), tinted])
    Image.fromarray(both).save(IMAGES / "synthetic.png", optimize=True)


def sweep_plot(run: Run) -> None:
    """The plot of a sweep over the run's thresholds."""
    plot = render_plot(sweep_run(run, parse_thresholds(THRESHOLDS, "thresholds")))
    (IMAGES / "sweep.svg").write_text(plot)
    print("docs/images/sweep.svg")


def shoot(page: Page, url: str, name: str, ready: Any = None, *, height: int = 850) -> None:
    page.set_viewport_size({"width": 1400, "height": height})
    page.goto(url)
    if ready is not None:
        ready(page)
    page.screenshot(path=IMAGES / name)
    with Image.open(IMAGES / name) as picture:  # screenshots shrink to a third with a palette
        picture.convert("RGB").quantize(192).save(IMAGES / name, optimize=True)
    print(f"docs/images/{name}")


def viewer_ready(page: Page) -> None:
    page.wait_for_function(LOADED, timeout=120_000)
    page.wait_for_timeout(3000)  # what is drawn last has no sign of its own


def airflow_ready(page: Page) -> None:
    page.get_by_text("report", exact=False).first.wait_for(timeout=60_000)
    page.wait_for_timeout(4000)


def pages(page: Page, url: str) -> None:
    """Our pages in Airflow, the form, and a gate where a run waits for an answer."""
    base, name = url.partition("/dags/")[0], unquote(url.rsplit("/", 1)[-1])
    shoot(page, f"{base}/plugin/seuron-runs", "runs.png", framed("#runs tbody tr"), height=700)
    volume = f"{base}/plugin/seuron-volume/seuron/volume?dag_id=segmentation&run_id={quote(name, safe='')}"
    shoot(page, volume, "volume.png", task_ready)
    shoot(page, volume, "volume-viewer.png", neuroglancer_ready)
    shoot(page, f"{base}/dags/segmentation", "form.png", form_ready, height=1150)
    for gate in waiting_gates(connect(base).client)[:1]:
        shoot(page, gate.page, "gate.png", gate_ready, height=720)


def framed(selector: str) -> Any:
    """Wait for something in the frame of one of our pages."""

    def ready(page: Page) -> None:
        page.frame_locator("iframe").locator(selector).first.wait_for(timeout=PATIENCE)
        page.wait_for_timeout(1500)

    return ready


def task_ready(page: Page) -> None:
    """A task of the leaves, clicked on the map."""
    frame = page.frame_locator("iframe")
    frame.locator("#stages button", has_text="watershed").click(timeout=PATIENCE)
    page.wait_for_timeout(1500)
    frame.locator("#cells").click(position={"x": 90, "y": 90})
    frame.locator("#details dl").first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1500)


def neuroglancer_ready(page: Page) -> None:
    frame = page.frame_locator("iframe")
    frame.locator("#tab-viewer").click(timeout=PATIENCE)
    inside = frame.locator("body").element_handle(timeout=PATIENCE).owner_frame()
    inside.wait_for_function(
        "() => { const v = document.getElementById('neuroglancer').contentWindow.viewer; return v && v.isReady(); }",
        timeout=PATIENCE,
    )
    page.wait_for_timeout(4000)


def form_ready(page: Page) -> None:
    page.get_by_role("button", name="Trigger").first.click(timeout=PATIENCE)
    page.get_by_role("button", name="Preset").click(timeout=PATIENCE)
    page.wait_for_timeout(5000)


def gate_ready(page: Page) -> None:
    page.get_by_role("button", name="approve").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="output folder of a finished run")
    parser.add_argument("--airflow", help="the run's page in Airflow")
    parser.add_argument("--only-pages", action="store_true", help="only those of docs/web-ui.md")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    run = Run.open(arguments.run)
    if not arguments.only_pages:
        synthetic()
        sweep_plot(run)
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not on the PATH; install it (on Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as state, sync_playwright() as started:
        page = started.chromium.launch(executable_path=chromium, args=FLAGS).new_page()
        page.set_default_timeout(PATIENCE)
        if arguments.airflow:
            page.goto(Deployment().login_url)
            pages(page, arguments.airflow)
        if arguments.only_pages:
            return
        try:
            shoot(page, view_run(run, Path(state)), "viewer.png", viewer_ready)
        finally:
            stop_server(Path(state))
        folder = local_folder(run.output)
        if folder is not None:
            shoot(page, f"file://{folder}/report.html", "report.png", height=1150)
        if arguments.airflow:
            shoot(page, arguments.airflow, "airflow.png", airflow_ready)


if __name__ == "__main__":
    main()
