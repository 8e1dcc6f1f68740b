"""Where tasks run: queues, instance groups that grow and shrink, what they cost.

`config` reads the file, `groups` has the nouns and the interface of a driver; `policy` decides sizes, `health` finds
workers to be replaced, `costs` counts and estimates dollars, and none of these touches anything. A `controller` does a
step: it looks, asks the policy, acts through the drivers (`google`, `processes`) and writes `records`. The same policy
runs on a virtual clock in benchmarks/cluster_simulator. Nothing here imports Airflow.
"""
