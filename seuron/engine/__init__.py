"""Runs of any pipeline: plans, keys, records, runners, progress. It imports no pipeline."""
