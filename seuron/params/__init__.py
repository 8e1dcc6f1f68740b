"""Typed run parameters: one model makes the web form, the command line, the checks and the docs."""

from seuron.params.model import parse_parameters, parse_settings

__all__ = ["parse_parameters", "parse_settings"]
