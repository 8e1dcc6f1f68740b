"""What the web pages show, as plain data made from a run's folder: no web framework, no Airflow.

`look` reads which tasks are done, `progress` counts them, `sheets` lays them out as a map, `details` tells of
one task, `layers` says what Neuroglancer may show, `states` has the words for the state of a run.
The routes that serve it are in `seuron.orchestration.pages`.
"""
