"""Agglomeration of more contacts than memory holds: in parts of a leaf, and in rounds at the root."""
