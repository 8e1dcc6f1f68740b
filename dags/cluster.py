"""# Cluster

Makes the groups of a cluster grow and shrink with the work that Airflow has for their queues.

Its one task looks at queues, workers and groups, decides, and acts, each minute (`SEURON_CLUSTER_SECONDS`).
It is scheduled only where the deployment has a cluster's file (`SEURON_CLUSTER`).
What it did is in its log and in `seuron status`; of its runs the last 60 are kept.
"""

from seuron.orchestration import cluster_dag

cluster = cluster_dag(doc_md=__doc__)
