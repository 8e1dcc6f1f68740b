"""Synthetic EM volumes with their ground truth, for tests, benchmarks and training.

Everything is computed in nm and sampled at voxel centres, so one tissue can be seen at any resolution.
A volume is a function of its shape, seed, resolution and defects, and of nothing else: each voxel is
computed by itself, with noise from a counter, so the number of threads cannot matter.
"""

from seuron.synth.defects import Defects
from seuron.synth.volume import SyntheticVolume, synthesize

__all__ = ["Defects", "SyntheticVolume", "synthesize"]
