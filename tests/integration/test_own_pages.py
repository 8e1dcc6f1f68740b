"""The pages Runs and Volume, in a real browser that can reach this machine only."""

from __future__ import annotations

from urllib.parse import quote

from airflow_runs import Ended
from browser import browser

from seuron.client import AirflowClient
from seuron.deployment import Deployment
from seuron.engine.run import Run

PATIENCE_MS = 240_000
READY = "() => { const v = document.getElementById('neuroglancer').contentWindow.viewer; return v && v.isReady(); }"
SHOWN = "() => document.getElementById('neuroglancer').contentWindow.viewer.state.toJSON()"


def test_the_pages_show_a_run_and_lead_to_its_tasks(
    deployment: Deployment, client: AirflowClient, finished: Ended, refused: Ended
) -> None:
    """Runs lists the run, and the one with a wrong parameter with its reason; Volume has its map, tasks and layers.

    Both are inside Airflow's own page, whose window a link to a log leads on; nothing in the browser fails.
    """
    run_id = finished.run_id
    assert "`affinities`" in client.dag_run("segmentation", refused.run_id).note
    problems: list[str] = []
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1400, "height": 900})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(deployment.login_url)
        page.goto(f"{client.url}/plugin/seuron-runs", timeout=PATIENCE_MS)
        frame = page.frame_locator("iframe")
        row = frame.locator(f"tr[data-run='{run_id}']")
        row.get_by_text("succeeded").wait_for(timeout=PATIENCE_MS)
        tasks = len(Run.open(str(finished.output)).plan.tasks)
        assert f"{tasks} of {tasks} tasks" in row.inner_text()
        failed = frame.locator(f"tr[data-run='{refused.run_id}']")
        assert "`affinities`" in failed.inner_text()
        assert "failed" in failed.inner_text()

        page.goto(f"{client.run_url('segmentation', run_id)}/plugin/seuron-run-volume", timeout=PATIENCE_MS)
        frame = page.frame_locator("iframe")
        frame.locator("#stages").get_by_text("watershed").click(timeout=PATIENCE_MS)
        frame.get_by_text("2 × 2 × 1 tasks").wait_for(timeout=PATIENCE_MS)
        frame.locator("#cells").click(position={"x": 90, "y": 20})
        frame.get_by_text("watershed 0 leaf (1, 0, 0)").wait_for(timeout=PATIENCE_MS)
        assert "computed" in frame.locator("#details").inner_text()
        frame.get_by_text("Log in Airflow").click()
        page.wait_for_url("**/tasks/watershed.tier_0/mapped/*", timeout=PATIENCE_MS)

        page.goto(f"{client.url}/seuron/volume?dag_id=segmentation&run_id={quote(run_id, safe='')}")
        page.locator("#tab-viewer").click(timeout=PATIENCE_MS)
        page.wait_for_function(READY, timeout=PATIENCE_MS)
        shown = page.evaluate(SHOWN)
        assert [layer["name"] for layer in shown["layers"]] == ["affinities", "supervoxels", "segmentation"]
        assert page.locator("#map").is_hidden()
    assert problems == []
