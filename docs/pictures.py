"""Makes the pictures of the docs: `python docs/pictures.py RUN [--airflow URL]`, after a `make run`.

RUN is the output folder of a finished run and URL its page in Airflow, as `make run` prints them. Writes
docs/images/synthetic.png (a section of `seuron synth` tissue), sweep.svg, and with headless Chromium
viewer.png, report.png and airflow.png.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from seuron.cli.decisions import DEFAULT_THRESHOLDS
from seuron.cli.words import thresholds
from seuron.decisions import sweep_run
from seuron.reporting.sweeps import render_plot
from seuron.runs import Run
from seuron.storage import local_folder
from seuron.synth import synthesize
from seuron.viewer import stop_server, view_run

IMAGES = Path(__file__).parent / "images"
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",  # WebGL2 without a graphics card
]
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
    plot = render_plot(sweep_run(run, thresholds(DEFAULT_THRESHOLDS, "thresholds")))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="output folder of a finished run")
    parser.add_argument("--airflow", help="the run's page in Airflow")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    synthetic()
    run = Run.open(arguments.run)
    sweep_plot(run)
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("chromium is not on the PATH; install it (on Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as state, sync_playwright() as started:
        page = started.chromium.launch(executable_path=chromium, args=FLAGS).new_page()
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
