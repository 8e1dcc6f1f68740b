"""Where tasks run: queues, instance groups that grow and shrink, what they cost.

`groups` has the nouns and the interface of a driver; `policy` decides sizes and touches nothing;
`simulation` runs the same policy on a virtual clock; the drivers act. Nothing here imports Airflow.
"""
