"""What a browser is shown of runs: the pages in Airflow's web UI, and Neuroglancer. It imports no Airflow.

`snapshot` reads which tasks of a run are done, `stage_counts` counts them, `tier_grid` lays them out as a map,
`task_details` describes one task; `layers` and `neuroglancer_state` say what Neuroglancer shows, `files` sends it.
Two servers use them: Airflow's API server (`seuron.orchestration.pages`), and `viewer`, for `seuron view`.
"""
