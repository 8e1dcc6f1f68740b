"""Typed run parameters: one model makes the web form, the command line, the checks and the docs."""

from seuron.params.model import parse_parameters, parse_settings
from seuron.params.segmentation import INSPECTED_STAGES, SegmentationParams

__all__ = ["INSPECTED_STAGES", "SegmentationParams", "parse_parameters", "parse_settings"]
