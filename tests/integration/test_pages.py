"""Airflow's own pages of our DAG, in a real browser."""

from __future__ import annotations

from airflow_runs import Ended
from browser import browser

from seuron.client import AirflowClient
from seuron.deployment import Deployment
from seuron.pipelines.segmentation.params import SegmentationParams

PATIENCE_MS = 240_000


def test_the_page_of_a_run_shows_stages_and_labels(
    deployment: Deployment, client: AirflowClient, finished: Ended
) -> None:
    """A finished run's page: success, every stage in the grid, tasks by layer and place."""
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(deployment.login_url)
        page.goto(client.run_url("segmentation", finished.run_id))
        page.get_by_text("Success").first.wait_for(timeout=PATIENCE_MS)
        for stage in ("prepare", "watershed", "agglomeration", "labels", "pyramid", "report"):
            page.get_by_text(stage, exact=True).first.wait_for(timeout=PATIENCE_MS)
        page.get_by_text("watershed 0 leaf (1, 1, 0)").first.wait_for(timeout=PATIENCE_MS)


def test_the_form_has_every_parameter(deployment: Deployment, client: AirflowClient) -> None:
    """The trigger form is made of the model: its groups, and a field with help for each parameter."""
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1400, "height": 1600})
        page.goto(deployment.login_url)
        page.goto(f"{client.url}/dags/segmentation")
        page.get_by_role("button", name="Trigger").first.click(timeout=PATIENCE_MS)
        page.get_by_text("Watershed", exact=True).first.wait_for(timeout=PATIENCE_MS)
        shown = page.content()
    missing = [name for name in SegmentationParams.model_fields if f'"element_{name}"' not in shown]
    assert not missing
