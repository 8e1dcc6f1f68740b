"""The report: right figures, nothing from outside, and readable for runs that lack something."""

from __future__ import annotations

import html
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import browser
from small_runs import make_run, smooth, store

from seuron.cluster.costs.ledger import Ledger, Usage
from seuron.cluster.costs.run_costs import ActiveRun, update_run_costs
from seuron.cluster.groups import Group
from seuron.cluster.records import ClusterEvent, ClusterSnapshot, Records
from seuron.engine.run import Run
from seuron.evaluation import read_scores
from seuron.params import parse_parameters
from seuron.params.model import parse_settings
from seuron.pipelines.segmentation.analysis import vetoes
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.reporting.report import render_report, write_report
from seuron.storage import local_folder

#: Elements that have no end tag.
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The text of a page, its pictures, what it would load, and whether its tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.pictures: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "img":
            self.pictures.append(named.get("alt") or "")
        if tag in ("img", "link", "script", "iframe"):
            self.loads.append(named.get("src") or named.get("href") or tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_a_finished_run_is_told_in_full(scored_run: Run, scored_html: str) -> None:
    """State, sizes, scores, every stage, every layer in three planes."""
    page = Page(scored_html)
    text, scores = flat(page.text), read_scores(scored_run.storage)
    assert scores is not None
    assert "first run complete" in text
    assert "1.02 × 0.90 × 0.77" not in text, "units differ: nm and µm are both written"
    assert "voxels: 128 × 112 × 96" in text
    assert f"{scores.voi:.2f}" in text
    assert f"{scores.adapted_rand_error:.4f}" in text
    for stage in (stage for stage in scored_run.plan.stages if stage.tasks):
        assert stage.name in text
    names = ["image", "affinities", "supervoxels", "segmentation", "ground truth"]
    wanted = [f"{name}, section {axis} = " for axis in "zyx" for name in names]
    assert len(page.pictures) == len(wanted)
    assert all(alt.startswith(start) for alt, start in zip(page.pictures, wanted, strict=True))
    assert all("= 78" in alt for alt in page.pictures[:5])


def test_counts_are_summed_over_the_tasks_of_a_stage(scored_run: Run, scored_html: str) -> None:
    """Supervoxels are counted task by task; the page shows their sum."""
    tasks = len(scored_run.plan.stage("watershed").tasks)
    assert f"{tasks * 20} supervoxels" in flat(Page(scored_html).text)


def test_what_was_changed_is_marked(scored_run: Run, scored_html: str) -> None:
    """Given values stand out with the default beside them; those left alone do not."""
    cell = r'<td class="small soft">(.*?)</td>'
    rows = re.findall(rf"<tr(.*?)><td><code>(\w+)</code></td>.*?{cell}{cell}", scored_html)
    marked = {name: default for attributes, name, _, default in rows if "changed" in attributes}
    assert marked == {
        "image": "none",
        "ground_truth": "none",
        "output": "required",
        "chunk_size": "256, 256, 256",
        "watershed_size": "200",
    }
    assert len(rows) == len(type(scored_run.params).model_fields)


def test_the_command_on_the_page_makes_the_same_run(scored_run: Run, scored_html: str) -> None:
    """Copied into a shell, it parses to the same parameters, spaces in paths included."""
    command = html.unescape(re.findall(r"<pre>(seuron run.*?)</pre>", scored_html, re.S)[0])
    words = shlex.split(command.replace("\\\n", " "))  # a shell joins continued lines, shlex does not
    assert words[:3] == ["seuron", "run", "segmentation"]
    settings = words[4::2]
    assert parse_parameters(SegmentationParams, parse_settings(settings)) == scored_run.params


def test_the_page_needs_nothing_from_outside(scored_html: str) -> None:
    """No script, no font, no picture by address: it can be mailed, and opened years later."""
    assert all(address.startswith("data:") for address in Page(scored_html).loads)
    assert "<script" not in scored_html
    assert "@import" not in scored_html
    assert re.findall(r"https?://[^\s\"'<]+", scored_html) == ["http://127.0.0.1:8750/v/run/"]


def test_a_run_that_has_just_begun_shows_what_there_is(affinity_run: Run) -> None:
    """Affinities only: their pictures, no scores, no sizes, and no task done; names are escaped."""
    page = Page(render_report(affinity_run))
    text = flat(page.text)
    assert "run <b> 0 of" in text
    assert "not done yet" in text
    assert len(page.pictures) == 3
    for absent in ("Timeline", "Segment sizes", "Scores against", "Adapted Rand"):
        assert absent not in text


def test_missing_scores_and_filled_blocks_are_not_hidden(scored_run: Run, tmp_path: Path) -> None:
    """What the reader must know before trusting the result stands at the top."""
    run = Run(scored_run.pipeline, scored_run.params.model_copy(update={"output": str(tmp_path)}), scored_run.facts)
    record = scored_run.record(run.plan.tasks[0].id)
    assert record is not None
    run.finish(type(record)(**{**record.__dict__, "counts": {"filled_blocks": 3.0}}))
    text = flat(Page(render_report(run)).text)
    assert "3 blocks of the input were not stored" in text
    assert "there are no scores yet" in text


def test_rules_are_told_with_how_many_contacts_they_forbade(tmp_path: Path, affinity_run: Run) -> None:
    """In a section of their own, where the run has rules; also of a run that has not come so far."""
    rules = [
        {"rule": "size", "name": "<dumbbell>", "below": 0.7, "smaller_over": 20, "sum_over": 60},
        {"rule": "twig", "name": "twig", "voxels": 9, "edges": 2, "delta": -0.1, "above": 0.45},
    ]
    run = make_run(tmp_path / "run", store(tmp_path / "affinities", smooth((24, 20, 16), 1)), None, constraints=rules)
    forbidden = Counter(veto.rule for veto in vetoes(run))
    assert forbidden["<dumbbell>"] > 1
    begun = Run(run.pipeline, run.params.model_copy(update={"output": str(tmp_path / "begun")}), run.facts)
    for told, counts in ((run, forbidden), (begun, Counter[str]())):
        page = Page(render_report(told))
        section = flat(page.text).split("Rules rulekindwhere the mean iscontacts forbidden ")[1]
        first, second = counts["<dumbbell>"], counts["twig"]
        assert section.startswith(f"<dumbbell>sizebelow 0.7{first} twigtwigabove 0.45 and below 0.5{second} Contacts")
    assert "Rules" not in Page(render_report(affinity_run)).text


def test_what_a_run_cost_on_a_cluster_is_told(tmp_path: Path, affinity_run: Run) -> None:
    """Dollars of the run, hours and dollars by group, what happened, and that a used-up budget holds it."""
    output = tmp_path / "run"
    shutil.copytree(local_folder(affinity_run.output) or "", output)
    run = Run.open(str(output))
    assert "Cost" not in Page(render_report(run)).text
    groups = (Group("spot", "cpu", "a", slots=2, memory_bytes=2**32, max_size=4, price=0.5),)
    records, busy = Records(tmp_path / "cluster"), {"r": {"cpu": 2}}
    records.folder.mkdir()
    ledger = Ledger().after(Usage(0.0, {"spot": 2}, busy), groups).after(Usage(3600.0, {"spot": 2}, busy), groups)
    records.write_ledger(Ledger(last=ledger.last))
    records.write_snapshot(ClusterSnapshot(time=0.0))
    update_run_costs(records, groups, [ActiveRun("r", run.output, 0.0)])
    records.write_ledger(ledger)
    records.write_snapshot(ClusterSnapshot(time=3600.0, spent=ledger.dollars, budget=1.0, held=("cpu",)))
    records.add(ClusterEvent(60.0, lost=("spot-1 (spot)",)))
    update_run_costs(records, groups, [ActiveRun("r", run.output, 0.0)])
    text = flat(Page(render_report(run)).text)
    assert "$0.50 for this run" in text
    assert "of a budget of $1.00" in text
    assert "held: the budget of the cluster is used up ($1.00), and the run waits" in text
    assert "spot2.000.5001.00" in text
    assert "spot-1 (spot) is gone and was not asked to go" in text
    records.write_snapshot(ClusterSnapshot(time=3600.0, spent=ledger.dollars))
    update_run_costs(
        records, groups, [ActiveRun("r", run.output, 0.0, budget=0.4), ActiveRun("again", run.output, 3600.0, 0.4)]
    )
    text = flat(Page(render_report(run)).text)
    assert "held: the run has cost $0.50 of its budget of $0.40, and the run waits" in text
    assert "The run was started 2 times" in text


def test_writing_puts_the_page_into_the_run(scored_run: Run) -> None:
    """One file, replaced whole when it is made again."""
    write_report(scored_run)
    write_report(scored_run, "http://127.0.0.1:1/v/x/")
    content = scored_run.storage.get("report.html")
    assert content is not None
    assert b"Open in the viewer" in content


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 420)])
def test_the_page_fits_its_window(scored_run: Run, scored_html: str, chromium: Any, scheme: str, width: int) -> None:
    """In a real browser: no sideways scrolling, every picture decoded, nothing requested, both colour schemes."""
    scored_run.storage.put("report.html", scored_html.encode())
    address = f"{scored_run.output}/report.html".replace(" ", "%20")
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    decoded = page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    assert size[0] <= size[1]
    assert decoded
    assert (int(re.findall(r"\d+", background)[0]) > 128) == (scheme == "light")
    assert [url for url in requests if not url.startswith("data:")] == [address]
