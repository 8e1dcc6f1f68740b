"""Datasets: volumes that are segmented again when they change, and published for readers.

A dataset is a file (`files.py`). Its versions lie below one path (`versions.py`), each a run's folder that
begins as a copy of the one before it (`drafts.py`), so that only what has changed is computed (`change_detection.py`).
Nothing here imports Airflow; the DAGs are in `seuron.orchestration.datasets`.
"""
