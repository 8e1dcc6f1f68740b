"""The pages Runs and Volume, served by Airflow's API server: routes, access checks, and what Airflow knows of runs.

What they show, and the browser's side of it, is in `seuron.web`. plugins/seuron_plugin.py
registers them.
"""

from seuron.orchestration.pages.app import pages_app

__all__ = ["pages_app"]
