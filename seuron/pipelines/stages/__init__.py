"""Stages that several pipelines have."""
