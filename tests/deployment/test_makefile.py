"""Which Python the Makefile takes, and the lock that it installs, for every version that we run on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def machine_with(folder: Path, interpreters: dict[str, str]) -> dict[str, str]:
    """An environment whose PATH has these interpreters only, by what a program that uses one does: shell."""
    folder.mkdir()
    for tool in ("sh", "make", "tr", "touch", "grep"):
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    for name, script in interpreters.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder), "LC_ALL": "C"}


def is_version(version: str) -> str:
    """An interpreter of that version that has venv: the Makefile gives it code and the versions that will do."""
    return f'for word; do [ "$word" = {version} ] && exit 0; done; exit 1'


NO_SUCH = "echo 'pyenv: command not found' >&2; exit 127"


@pytest.mark.parametrize(
    ("interpreters", "taken"),
    [
        ({"python3.11": is_version("3.11"), "python3.13": is_version("3.13")}, "python3.11"),
        ({"python3.13": is_version("3.13")}, "python3.13"),
        ({"python3.11": NO_SUCH, "python3.12": is_version("3.12")}, "python3.12"),
        ({"python3": is_version("3.12")}, "python3"),
    ],
)
def test_the_makefile_takes_a_python_that_runs(tmp_path, interpreters, taken):
    """3.11 where it is there; a name in PATH that does not run, as pyenv leaves them, is passed over."""
    environment = machine_with(tmp_path / "bin", interpreters)
    command = ["make", "-n", "-C", str(ROOT), "install", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"{taken} -m venv {tmp_path / 'venv'}" in done.stdout


@pytest.mark.parametrize("interpreters", [{}, {"python3": is_version("3.10")}, {"python3.11": NO_SUCH}])
def test_the_makefile_says_in_one_sentence_which_python_is_missing(tmp_path, interpreters):
    """It stops before it makes anything."""
    environment = machine_with(tmp_path / "bin", interpreters)
    command = ["make", "--silent", "-C", str(ROOT), "install", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (said,) = [line for line in done.stdout.splitlines() if "Python" in line]
    assert all(f"python{version}" in said for version in VERSIONS)
    assert not (tmp_path / "venv").exists()


def test_the_metadata_names_the_same_versions_as_the_makefile():
    """`requires-python` is the range of the versions that the Makefile looks for."""
    found = re.search(r"^VERSIONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    assert tuple(found.group(1).split()) == VERSIONS
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(8, 20) if f"3.{minor}.0" in allowed] == [11, 12, 13]


def lock_for(version: str) -> dict[str, str]:
    """What the lock installs on this machine's system with a Python of `version`: name to version."""
    environment: dict[str, Any] = {**default_environment(), "python_version": version}
    environment["python_full_version"] = f"{version}.7"
    found = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                (pin,) = requirement.specifier
                found[canonicalize_name(requirement.name)] = pin.version
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_lock_has_what_the_project_asks_for_on_every_python(version):
    """Each dependency, also of the extras, with a version that its range allows."""
    locked = lock_for(version)
    asked = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    for line in asked:
        requirement = Requirement(line)
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, line


@pytest.mark.parametrize("version", VERSIONS)
def test_every_locked_package_accepts_every_python(version):
    """By what the installed packages say; `make lock-check` asks the package index, also about those not here."""
    locked = lock_for(version)
    seen = 0
    for distribution in distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        if locked.get(name) == distribution.version:
            seen += 1
            wanted = distribution.metadata.get("Requires-Python")
            assert wanted is None or f"{version}.7" in SpecifierSet(wanted), f"{name} wants Python {wanted}"
    assert seen > len(locked) * 0.9


def test_make_finds_a_python_on_this_machine():
    """The tests run in an environment that the Makefile made, so there is one."""
    command = ["make", "-s", "-C", str(ROOT), "--eval=which-python: ; @echo $(PYTHON)", "which-python"]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert re.fullmatch(r"python3(\.1[123])?", done.stdout.strip())
