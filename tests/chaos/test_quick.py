"""What is quick enough for every change: workers are killed on a cluster whose cheap zone is sold out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from chaos.bench import Bench
from chaos.faults import hold_stock, kill_workers
from chaos.trial import Folder, Trial


@pytest.mark.long
def test_workers_die_while_a_zone_is_sold_out(
    healthy: Bench, parameters: dict[str, Any], reference: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The other zone does the work, killed workers cost no more than their tasks, and the cluster goes to nothing."""
    hold_stock(healthy)
    before = healthy.ever()
    with Trial(healthy, Folder(tmp_path_factory.mktemp("quick") / "run"), parameters) as trial:
        kill_workers(trial, kills=3)
        trial.expect_same(reference)
    assert trial.struck == 3
    assert re.search(r"spot is passed over for \d+ s: no stock", trial.told())
    assert {name.split("-")[1] for name in healthy.ever() - before} == {"sure"}
    trial.expect_nothing_left()
