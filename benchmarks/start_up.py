"""What commands cost before they do anything: processor time of a fresh process, and the heavy libraries it loads.

    python benchmarks/start_up.py [--tries 5]

The least of several tries counts: on a machine that is busy, hardware threads that share a core make the same
instructions take up to twice the processor time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Libraries that take a tenth of a second or more to load.
HEAVY = ("airflow", "cloudvolume", "httpx", "numba", "numpy", "pyarrow", "pydantic", "scipy", "tensorstore", "torch")

#: Runs the command in this process, and says at its end what it has loaded.
_PROGRAM = f"""
import atexit, os, sys
found = lambda: open(os.environ["LOADED"], "w").write(" ".join(n for n in {HEAVY!r} if n in sys.modules))
atexit.register(found)
"""
_COMMAND = _PROGRAM + "from seuron.cli import main; main()"


@dataclass(frozen=True)
class Start:
    """A command, its processor time allowed, s, and the libraries that it does without."""

    name: str
    program: str
    words: Sequence[str]
    most_seconds: float
    without: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def completion(line: str) -> dict[str, str]:
    """The environment in which the shell asks for what may follow."""
    return {"_SEURON_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}


def starts(folder: Path) -> list[Start]:
    """Every command that is measured; `folder` holds a small volume `affinities`."""
    light = HEAVY
    check = ["params", "check", f"affinities={folder / 'affinities'}", f"output={folder / 'out'}"]
    return [
        Start("import seuron", _PROGRAM + "import seuron", [], 0.5, light),
        Start("seuron --help", _COMMAND, ["--help"], 0.5, light),
        Start("seuron st<TAB>", _COMMAND, [], 0.5, light, completion("seuron st")),
        Start("seuron status <TAB>", _COMMAND, [], 0.5, light, completion("seuron status ")),
        Start("seuron params check ...", _COMMAND, check, 1.2, ("airflow", "numba", "torch", "httpx", "cloudvolume")),
        Start("seuron status", _COMMAND, ["status"], 1.2, ("airflow", "numba", "torch", "cloudvolume", "numpy")),
    ]


def measure(start: Start, home: Path, tries: int) -> tuple[float, list[str]]:
    """The least processor time of the tries, s, and the heavy libraries that were loaded."""
    best, loaded = float("inf"), home / "loaded"
    environment = {**os.environ, "SEURON_HOME": str(home), "LOADED": str(loaded), **start.environment}
    for _ in range(tries):
        command = [sys.executable, "-c", start.program, *start.words]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = 0
        best = min(best, used.ru_utime + used.ru_stime)
    return best, loaded.read_text().split()


def write_volume(folder: Path) -> None:
    """A small volume of affinities to check."""
    import numpy as np

    from seuron.box import Box
    from seuron.volumes import create_volume

    box = Box((0, 0, 0), (64, 64, 32))
    volume = create_volume(str(folder / "affinities"), box, (8.0, 8.0, 40.0), dtype="uint8", channels=3)
    volume.write(box, np.zeros((64, 64, 32, 3), np.uint8, order="F"))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5)
    tries = parser.parse_args().tries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_volume(folder)
        print(f"{'command':<26}{'CPU-s':>7}{'at most':>9}  loads")
        for start in starts(folder):
            seconds, loaded = measure(start, folder, tries)
            print(f"{start.name:<26}{seconds:>7.2f}{start.most_seconds:>9.1f}  {' '.join(loaded) or '-'}")


if __name__ == "__main__":
    main()
