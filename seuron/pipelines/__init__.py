"""The pipelines: one folder each, on one engine."""
