"""What a run will do, as plain data: stages, tiers, tasks, boxes, estimates. No Airflow here."""

from seuron.planning.plan import MAX_TIERS, STAGES, Plan, Stage, Task
from seuron.planning.segmentation import VolumeFacts, make_plan

__all__ = ["MAX_TIERS", "STAGES", "Plan", "Stage", "Task", "VolumeFacts", "make_plan"]
