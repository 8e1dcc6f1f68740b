"""The pages Runs and Volume, served by Airflow's API server: routes, access checks, and what Airflow knows of runs.

What they show is made by `seuron.pages`; the browser's side is in its `static/`. plugins/seuron_plugin.py
registers them.
"""

from seuron.orchestration.pages.app import pages_app

__all__ = ["pages_app"]
