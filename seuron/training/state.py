"""All that a training knows between two steps: saved and loaded, it goes on with the same numbers."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seuron.errors import PermanentError
from seuron.training.file import Schedule

Tensors = dict[str, Tensor]


@dataclass
class TrainingState:
    """Weights, their moving average, the optimiser and what was measured.

    Attributes:
        net: as the last step left it.
        averaged: the moving average of its weights, which is validated and saved.
        optimiser: AdamW.
        step: how many steps were done.
        losses: of each step.
        validations: pairs of a step and its loss on the validation part.
        best: the averaged weights of the least validation loss; None where there is no validation.
    """

    net: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    best: Tensors | None = None

    @classmethod
    def begin(cls, net: nn.Module, schedule: Schedule) -> TrainingState:
        """Before the first step."""
        averaged = copy.deepcopy(net).eval().requires_grad_(False)
        optimiser = torch.optim.AdamW(net.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
        return cls(net, averaged, optimiser)

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the average towards the weights; it follows the first steps closely. Statistics of norms go with it."""
        kept = min(decay, (1 + self.step) / (10 + self.step)) if decay else 0.0
        current = self.net.state_dict()
        for name, mean in self.averaged.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(current[name], 1 - kept)
            else:
                mean.copy_(current[name])

    def validated(self, loss: float) -> bool:
        """Note a loss of the validation part; true where it is the least so far, whose weights are kept."""
        better = all(loss < earlier for _, earlier in self.validations)
        self.validations.append((self.step, loss))
        if better:
            self.best = {name: tensor.clone() for name, tensor in self.averaged.state_dict().items()}
        return better

    def waited(self) -> int:
        """Validations since the best one."""
        values = [loss for _, loss in self.validations]
        return len(values) - 1 - values.index(min(values)) if values else 0

    def save(self, path: Path, digest: str) -> None:
        """Write everything, whole or not at all. `digest` says which training it is of."""
        content = {
            "digest": digest,
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "losses": self.losses,
            "validations": self.validations,
            "best": self.best,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.partial")
        torch.save(content, part)
        part.replace(path)

    def load(self, path: Path, digest: str) -> None:
        """Take over a checkpoint. Tensors and numbers are read, no objects.

        Raises:
            PermanentError: it cannot be read, or is of another training.
        """
        content = _content(path)
        if content.get("digest") != digest:
            raise PermanentError(
                f"{path} is of another training: its file, its voxels or the number of processes have changed; give "
                f"another `out`, or remove {path.parent.parent} to begin again"
            )
        self.net.load_state_dict(content["net"])
        self.averaged.load_state_dict(content["averaged"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.losses, self.best = content["step"], content["losses"], content["best"]
        self.validations = [(step, loss) for step, loss in content["validations"]]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints in a training's folder."""

    folder: Path
    keep: int

    def path(self, step: int) -> Path:
        """Of the checkpoint after a step."""
        return self.folder / "checkpoints" / f"step-{step:08d}.pt"

    def steps(self) -> list[int]:
        """Those that there are, rising."""
        found = (self.folder / "checkpoints").glob("step-*.pt")
        return sorted(int(path.stem.removeprefix("step-")) for path in found)

    def chosen(self, step: int | None) -> Path | None:
        """The checkpoint after `step`, or the newest; None where there is none at all.

        Raises:
            PermanentError: there is none after `step`.
        """
        steps = self.steps()
        if step is not None and step not in steps:
            known = ", ".join(map(str, steps)) or "none"
            raise PermanentError(f"no checkpoint after step {step} in {self.folder}; there are: {known}")
        if not steps:
            return None
        return self.path(steps[-1] if step is None else step)

    def prune(self) -> None:
        """Remove all but the newest."""
        self._remove(self.steps()[: -self.keep])

    def forget_after(self, step: int) -> None:
        """Remove those of later steps: a training that goes on from an earlier one makes them again."""
        self._remove([later for later in self.steps() if later > step])

    def _remove(self, steps: list[int]) -> None:
        for step in steps:
            self.path(step).unlink()


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler, its archive and the file system raise
        raise PermanentError(f"{path} cannot be read ({error}); remove it: an earlier one is taken") from error
    return content
