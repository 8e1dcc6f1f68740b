"""A DAG for each pipeline, by its name. What its page says is the pipeline's own description.

Airflow parses only files that have its name and the word DAG in them: this text has both.
"""

from seuron.orchestration import pipeline_dags

globals().update(pipeline_dags())
