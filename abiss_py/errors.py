"""What can be wrong with the arrays that a caller hands in."""

from __future__ import annotations


class AbissError(Exception):
    """Base of the errors of this package."""


class ArgumentError(AbissError, ValueError):
    """An argument has the wrong shape, type or range."""


class AffinityError(AbissError, ValueError):
    """An affinity is not a number from 0 to 1; `voxel`, `channel` and `value` say which."""

    def __init__(self, voxel: tuple[int, int, int], channel: int, value: float) -> None:
        self.voxel, self.channel, self.value = voxel, channel, value
        super().__init__(
            f"the affinity at voxel {voxel}, channel {channel}, is {value}; allowed are numbers from 0 to 1"
        )
