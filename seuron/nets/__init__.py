"""Boundary nets on volumes. Import from the submodules: this file loads no torch."""
