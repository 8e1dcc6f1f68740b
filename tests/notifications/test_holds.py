"""People are notified that a run waits, why and what to do, and that it continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from seuron.client import RunHandle, connect
from seuron.cluster.costs.run_costs import ActiveRun, RunCosts, Span
from seuron.engine.states import Stop
from seuron.notifications.dispatch import notify
from seuron.notifications.holds import hold_notice, notify_continued, notify_hold, notify_pause
from seuron.notifications.settings import FILE_VARIABLE, NotificationSettings

RUN = ActiveRun("manual__1", "file:///data/runs/first", 0.0, 5.0, "http://airflow/dags/segmentation/runs/manual__1")


def costs(dollars: float, **more: object) -> RunCosts:
    """What a run has cost that much says."""
    span = Span(0.0, 60.0, dollars, {}, {})
    return RunCosts({"manual__1": span}, run_budget=5.0, cluster_dollars=7.25, budget=7.0, **more)  # type: ignore[arg-type]


@pytest.fixture
def to_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is sent to the log."""
    file = tmp_path / "notifications.toml"
    file.write_text('[[notify]]\nhow = "log"\n')
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    monkeypatch.setenv("SEURON_HOME", str(tmp_path))
    monkeypatch.setenv("SEURON_URL", "http://127.0.0.1:1")


def test_a_run_that_has_spent_its_budget_says_so() -> None:
    """The cause with the figures, what happens to what runs, what to do, and the run's page."""
    assert hold_notice(RUN, costs(5.02)).text.splitlines() == [
        "first: held: the run has cost $5.02 of its budget of $5.00",
        "what runs of it finishes, the rest waits, and nothing is lost",
        "the run's budget: the run has cost $5.02 of its budget of $5.00",
        "Next: to go on, cancel it and start it again with a larger `budget_dollars`",
        f"Airflow: {RUN.page}",
    ]


def test_a_run_that_the_clusters_budget_holds_says_so() -> None:
    """It is another budget, which somebody else may raise; the end says what there is to spend now."""
    held = hold_notice(RUN, costs(1.0, held=("cpu",)))
    assert held.title == "first: held: the budget of the cluster is used up ($7.25)"
    assert held.next == "to go on, raise `budget_dollars` in the cluster's file"
    over = hold_notice(RUN, costs(1.0, notified="cluster"))
    assert over.title == "first: continues"
    assert over.words == "the budget was raised: $7.25 of $7.00 for all runs of the cluster"


def test_repeats_of_one_hold_are_counted_and_another_hold_is_sent(tmp_path: Path) -> None:
    """A step that notified and was killed notifies again, with other figures: once is enough."""
    known = NotificationSettings.model_validate({"notify": [{"how": "log"}]})
    first, later = costs(5.02), costs(5.31)
    assert notify(hold_notice(RUN, first), known, tmp_path) == 1
    assert notify(hold_notice(RUN, later), known, tmp_path) == 0
    assert notify(hold_notice(RUN, costs(9.1).under(9.0)), known, tmp_path) == 1


def test_holds_are_sent_by_default(tmp_path: Path) -> None:
    """A run that waits for somebody is notified by default; a recipient with events gets those only."""
    held = hold_notice(RUN, costs(5.02))
    failures = NotificationSettings.model_validate({"notify": [{"how": "log", "events": ["failed"]}]})
    assert notify(held, failures, tmp_path) == 0
    assert notify(held, NotificationSettings.model_validate({"notify": [{"how": "log"}]}), tmp_path) == 1


@pytest.mark.usefixtures("to_log")
def test_a_pause_and_its_end_say_by_whom(caplog: pytest.LogCaptureFixture) -> None:
    """Who paused the run and why, what becomes of its work, how it continues; and who continued it."""
    handle = RunHandle(connect(), "segmentation", "manual__1", "file:///data/runs/first")
    with caplog.at_level("INFO"):
        notify_pause(handle, Stop("manual__1", "paused", "ada", 0.0, "the disk is full"))
        notify_continued(handle, "bob")
        notify_hold(RUN, costs(5.02))
    paused, continued, held = (record.getMessage() for record in caplog.records if "first: " in record.getMessage())
    for part in ("first: paused", "by ada on 1970-01-01 00:00 UTC: the disk is full", "`continue first`", handle.url):
        assert part in paused
    assert continued.startswith("first: continues\ncontinued by bob")
    assert held.startswith("first: held")


def test_nobody_is_notified_without_a_file(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without a file a hold costs nothing; with one that is wrong the step goes on, and its log says so."""
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    notify_hold(RUN, costs(5.02))
    assert caplog.text == ""
    monkeypatch.setenv(FILE_VARIABLE, "/nowhere/notifications.toml")
    notify_hold(RUN, costs(5.02))
    assert "Nobody was notified of first" in caplog.text
