"""# Datasets

Checks the files of all datasets, and the volumes that they name, when somebody starts it.

Beside it Airflow has a DAG `dataset_NAME` for each file in the datasets' folder, which is read again each minute.

| node | does |
|---|---|
| acquire | waits until no other run of the dataset is active |
| detect | says what has changed since the last version; skips the rest where nothing has |
| draft | makes the next version's folder, as a copy of the last one's in which only what changed is computed |
| run, wait | a run of `segmentation` in that folder |
| publish | sends readers to the version |
| prune | removes old versions |
| notify | sends what was published, or what failed |
"""

from seuron.orchestration.datasets import dataset_dags, datasets_dag

datasets = datasets_dag(doc_md=__doc__)
registered = dataset_dags()
