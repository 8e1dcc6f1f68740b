"""What a run did, as one page that a person can read."""

from seuron.reporting.report import write_report

__all__ = ["write_report"]
