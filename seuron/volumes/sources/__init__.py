"""Volumes in the formats that people bring, each read by a library and described by what its file says."""
