"""Commands of proofreading: the queue of a run's decisions that are most worth a look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from seuron.commands.answers import Answer, Session
from seuron.commands.argument_types import RUN
from seuron.commands.formatting import table
from seuron.commands.registry import Argument, command
from seuron.commands.results import GROUP, alone
from seuron.errors import ParameterErrors, RunError

if TYPE_CHECKING:
    from seuron.engine.run import Run
    from seuron.pipelines.segmentation.proofreading.queue import Queue

#: Rows of the queue that are written when nothing is said, and those that an answer shows.
MOST, SHOWN = 1000, 10


@command("proofread", aliases=("proofreading queue",), permission="look", group=GROUP)
def proofread(
    session: Session,
    run: Annotated[str, RUN],
    *,
    most: Annotated[int, Argument("rows at most, those first that fixing is expected to change most")] = MOST,
    view: Annotated[bool, Argument("start the viewer's server, and put a link to the place into each row")] = False,
) -> Answer:
    """List the decisions of a run that are most worth a look, as OUTPUT/proofreading/queue.csv and queue.parquet.

    Fill in the column `verdict` (join or apart), and give the table to the run as `edits`. Of the layers only the
    box's six faces are read.
    """
    import numpy as np

    from seuron.pipelines.segmentation.proofreading.queue import places, proofreading_queue
    from seuron.pipelines.segmentation.proofreading.queue_files import write_queue

    if most < 1:
        raise ParameterErrors([f"`most`: got {most}; give a number of rows, 1 or more"])
    if view and not session.deployment.is_local:
        raise RunError("the viewer's server runs beside the deployment: give `proofread` with `view` on its machine")
    handle = session.find(run)
    found_run = handle.folder()
    with alone(session):
        session.progress(Answer(f"reading the tables of {handle.name}"))
        queue = proofreading_queue(found_run, most)
    links = _links(session, found_run, queue) if view else []
    path = write_queue(found_run, queue, links)
    head = ["kind", "place", "mean", "voxels", "bits", "chance", *(["link"] if links else [])]
    rows = []
    for row, place in enumerate(places(found_run, queue.take(np.arange(min(SHOWN, len(queue))))).tolist()):
        smaller = min(int(queue.voxels_a[row]), int(queue.voxels_b[row]))
        figures = [f"{queue.mean[row]:.3f}", str(smaller), f"{queue.bits[row]:.4f}", f"{queue.chance[row]:.2f}"]
        rows.append([str(queue.kind[row]), ",".join(map(str, place)), *figures, *links[row : row + 1]])
    text = f"{table(head, rows, right=range(2, 6))}\n\n{len(queue)} decisions: {path}"
    return Answer(text, {"decisions": len(queue), "table": path}, {"table": path})


def _links(session: Session, run: Run, queue: Queue) -> list[str]:
    from seuron.box import triple
    from seuron.pipelines.segmentation.proofreading.queue import places
    from seuron.web.viewer import Focus, focused_links

    segments = zip(queue.segment_a.tolist(), queue.segment_b.tolist(), strict=True)
    focuses = [
        Focus(triple(place), tuple(dict.fromkeys(pair)))
        for place, pair in zip(places(run, queue).tolist(), segments, strict=True)
    ]
    return focused_links(run, session.deployment.embedded.home.viewer, focuses)
