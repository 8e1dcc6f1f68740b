"""Typed run parameters: one model makes the web form, the command line, the checks and the docs."""

from seuron.params.model import parse_parameters, parse_settings
from seuron.params.segmentation import SegmentationParams

__all__ = ["SegmentationParams", "parse_parameters", "parse_settings"]
