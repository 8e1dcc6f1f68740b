"""The stages of a segmentation: each module's `run(run, task)` reads, computes, writes, and counts."""
