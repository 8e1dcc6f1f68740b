"""Where tasks run: queues, instance groups that grow and shrink, what they cost.

`groups` has the nouns and the interface of a driver; `policy` decides sizes, `health` finds workers to be
replaced, `money` counts and estimates dollars, and none of them touches anything; `simulation` runs the
same policy on a virtual clock; the drivers act. Nothing here imports Airflow.
"""
