"""A cluster on a virtual clock, in which the same policy runs as outside.

`work` makes workloads of real plans, `world` says what goes wrong and how often, `provider` is a driver
whose instances are numbers, `simulator` runs the tasks, `rivals` are other policies to compare with.
Equal input, the seed among it, gives equal results.
"""

from .simulator import Policy, Result, simulate
from .work import SimulatedTier, Workload, workload_of
from .world import Outage, World

__all__ = ["Outage", "Policy", "Result", "SimulatedTier", "Workload", "World", "simulate", "workload_of"]
