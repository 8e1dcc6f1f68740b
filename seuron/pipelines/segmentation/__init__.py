"""From an image, or affinities, to supervoxels and segments."""
