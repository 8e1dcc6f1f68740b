"""From a run's plan to tasks in Airflow: the only package here that imports airflow.

Nothing happens at import or parse time: no file, no variable, no connection is read, because
Airflow parses the DAG again in the process of every task.
"""

from seuron.orchestration.cluster_steps import cluster_dag
from seuron.orchestration.form import form_parameters
from seuron.orchestration.pipeline_dag import pipeline_dags

__all__ = ["cluster_dag", "form_parameters", "pipeline_dags"]
