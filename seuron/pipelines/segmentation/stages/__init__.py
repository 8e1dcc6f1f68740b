"""The work of each stage: `inputs(run, task)` are digests of what a task reads, `run(run, task)` does it."""
