"""Skeletons of segments: traced in cells of a volume, joined, and stored. The only importer of kimimaro and osteoid."""
