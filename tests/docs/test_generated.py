"""Pages made from the code are what the code says now, and links between pages lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_reference_pages_are_not_stale(tmp_path: Path) -> None:
    """`python docs/generate.py` would change nothing."""
    copy = tmp_path / "copy"
    (copy / "docs").mkdir(parents=True)
    for script in ("generate.py", "commands_page.py"):
        shutil.copy(ROOT / "docs" / script, copy / "docs")
    shutil.copytree(ROOT / "dags", copy / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow"), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "docs/generate.py"], cwd=copy, env=environment, check=True, capture_output=True)
    for name in ("parameters.md", "dags.md", "commands.md"):
        written = (copy / "docs" / name).read_text()
        assert (ROOT / "docs" / name).read_text() == written, f"docs/{name} is stale: run python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_exist(page: Path) -> None:
    """A relative link in a page names a file of the repository."""
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
