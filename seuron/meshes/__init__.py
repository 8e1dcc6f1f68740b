"""Surfaces of segments: found in cells of a volume, simplified, and stored at several levels of detail.

The only importer of zmesh, meshoptimizer and DracoPy.
"""
