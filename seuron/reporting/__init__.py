"""What a run did, and what a sweep found, as pages that a person can read."""

from seuron.reporting.report import write_report
from seuron.reporting.sweeps import write_sweep

__all__ = ["write_report", "write_sweep"]
