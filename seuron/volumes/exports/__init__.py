"""Layers as files of other tools: a format is a function that opens a target and gives what writes boxes into it."""
