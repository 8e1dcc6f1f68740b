"""The steps of a training: patches in, weights out, to be continued after any checkpoint.

AdamW with warm-up and cosine, clipped gradients, mixed precision, a moving average of the weights. One seed fixes
weights, patches and augmentation, and a patch is a function of its number: on one machine, torch version and number of
threads the result is the same to the bit, on a processor also after a kill.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seuron.errors import PermanentError
from seuron.nets.engines.processor import hardware_bf16
from seuron.training.curves import Curves, validation_picture
from seuron.training.file import Schedule, TrainingFile
from seuron.training.loss import PatchTensors, batch_loss
from seuron.training.networks import TrainableNet, start_state
from seuron.training.patches import PatchSampler
from seuron.training.processes import Processes, share_norms
from seuron.training.state import Checkpoints, TrainingState
from seuron.training.volumes import TrainingVolume

log = logging.getLogger(__name__)

#: Steps between lines of the log and points of the curves.
LOG_EVERY = 50


@dataclass(frozen=True)
class TrainingResult:
    """What the steps gave.

    Attributes:
        state: of the weights that are to be used: arrays by name, on the processor.
        steps: how many were done.
        chosen_step: after which the weights are.
        losses: of each step.
        validations: pairs of a step and its loss.
        seconds: how long this process took for the steps that it did.
    """

    state: dict[str, Tensor]
    steps: int
    chosen_step: int
    losses: tuple[float, ...]
    validations: tuple[tuple[int, float], ...]
    seconds: float


class Trainer:
    """Does the steps of a training.

    Args:
        training: what to do; its network is that of `start`, where it has one.
        volumes: of both parts.
        processes: of which this is one.
        files: whether checkpoints and curves are written to the training's folder.
    """

    def __init__(
        self,
        training: TrainingFile,
        volumes: Sequence[TrainingVolume],
        processes: Processes = Processes(),
        *,
        files: bool = True,
    ) -> None:
        self.training, self.processes, self.schedule = training, processes, training.schedule
        self.device = _device(self.schedule)
        self.bf16 = _bf16(self.schedule, self.device)
        torch.set_num_threads(self.schedule.threads)
        torch.manual_seed(self.schedule.seed)
        self.net = TrainableNet.of(training.network)
        offsets = self.net.config.channel_offsets
        trained = [volume for volume in volumes if volume.part == "training"]
        held = [volume for volume in volumes if volume.part == "validation"]
        self.sampler = PatchSampler(training, trained, offsets)
        self.validation = _validation_batch(training, held, offsets) if held else None
        module = self.net.module()
        if training.start:
            module.load_state_dict(start_state(training.start))
        share_norms(module, processes)
        module = module.to(self.device).to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
        self.state = TrainingState.begin(module, self.schedule)
        self.digest = training_digest(training, volumes, processes)
        self.checkpoints = Checkpoints(training.folder, training.watching.keep) if files else None

    def run(self, from_step: int | None = None) -> TrainingResult:
        """All steps that are left, from a checkpoint on where there is one.

        Args:
            from_step: of the checkpoint to go on from; the newest if None.

        Raises:
            PermanentError: the loss is no number any more, or the folder is of another training.
        """
        started = time.perf_counter()
        if self.checkpoints and (path := self.checkpoints.chosen(from_step)) is not None:
            self.state.load(path, self.digest)
            self.processes.wait()  # until all have read what is removed now
            if self.processes.writes:
                self.checkpoints.forget_after(self.state.step)
            log.info("continued after step %d", self.state.step)
        with Curves.of(
            self.training, self.state.step, self.processes.writes and self.checkpoints is not None
        ) as curves:
            while self.state.step < self.schedule.steps and not self._waited_enough():
                self._step()
                self._look(curves)
            self._checkpoint()
        seconds = time.perf_counter() - started
        return self._result(seconds)

    def _step(self) -> None:
        state, schedule, processes = self.state, self.schedule, self.processes
        for group in state.optimiser.param_groups:
            group["lr"] = schedule.learning_rate * rate_factor(state.step, schedule)
        state.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for part in range(schedule.accumulation):
            number = (state.step * schedule.accumulation + part) * processes.count + processes.rank
            batch = self.sampler.batch(number * schedule.batch, schedule.batch)
            loss = self._loss(state.net, batch) / schedule.accumulation
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        processes.average([p.grad for p in state.net.parameters() if p.grad is not None])
        nn.utils.clip_grad_norm_(state.net.parameters(), schedule.clip_norm)
        state.optimiser.step()
        state.step += 1
        state.average(schedule.average)
        state.losses.append(processes.mean(total))
        if not math.isfinite(state.losses[-1]):
            raise PermanentError(
                f"training diverged at step {state.step}: the loss is {state.losses[-1]}; lower learning_rate"
            )

    def _loss(self, net: nn.Module, batch: PatchTensors) -> Tensor:
        given = batch.to(self.device)
        image = given.image.to(memory_format=torch.channels_last_3d)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            logits = self.net.logits(net, image)
        return batch_loss(logits, given, self.training.loss)

    def _look(self, curves: Curves) -> None:
        """Logs, curves, validations and checkpoints that are due after a step."""
        state, watching = self.state, self.training.watching
        if state.step % LOG_EVERY == 0 and self.processes.writes:
            recent = float(np.mean(state.losses[-LOG_EVERY:]))
            log.info("step %d of %d: loss %.4f", state.step, self.schedule.steps, recent)
            curves.number("loss/training", recent, state.step)
            curves.number("learning rate", state.optimiser.param_groups[0]["lr"], state.step)
        last = state.step == self.schedule.steps
        if self.validation is not None and (state.step % watching.validate_every == 0 or last):
            self._validate(self.validation, curves)
        if state.step % watching.checkpoint_every == 0:
            self._checkpoint()

    def _validate(self, batch: PatchTensors, curves: Curves) -> None:
        with torch.inference_mode():
            patches = [batch.patch(number) for number in range(len(batch.image))]
            losses = [float(self._loss(self.state.averaged, patch)) for patch in patches]
            loss = self.processes.mean(sum(losses) / len(losses))
            self.state.validated(loss)
            if self.processes.writes:
                log.info("step %d: validation loss %.4f", self.state.step, loss)
                curves.number("loss/validation", loss, self.state.step)
                logits = self.net.logits(self.state.averaged, batch.image[:1].to(self.device))
                curves.picture("validation", validation_picture(batch, logits), self.state.step)

    def _waited_enough(self) -> bool:
        patience = self.training.watching.patience
        return patience > 0 and self.state.waited() >= patience

    def _checkpoint(self) -> None:
        if self.checkpoints is None or not self.processes.writes:
            return
        path = self.checkpoints.path(self.state.step)
        if path.exists():  # just written, or just read
            return
        self.state.save(path, self.digest)
        self.checkpoints.prune()
        log.info("checkpoint after step %d", self.state.step)

    def _result(self, seconds: float) -> TrainingResult:
        """The best averaged weights where the validation part ends the training, else the last ones."""
        state = self.state
        chosen, step = state.averaged.state_dict(), state.step
        if self.training.watching.patience and state.best is not None:
            chosen, step = state.best, min(state.validations, key=lambda pair: pair[1])[0]
        # Without memory formats: a file holds numbers in the order of their axes.
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in chosen.items()}
        return TrainingResult(weights, state.step, step, tuple(state.losses), tuple(state.validations), seconds)


def rate_factor(step: int, schedule: Schedule) -> float:
    """The learning rate of a step over the peak: linear warm-up, then a cosine to 1 %."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def training_digest(training: TrainingFile, volumes: Sequence[TrainingVolume], processes: Processes) -> str:
    """What decides every weight: checkpoints of another digest are not continued."""
    watching = {"checkpoint_every", "keep"}
    recipe = training.model_dump(mode="json", exclude={"out", "description", "licence", "cite", "thresholds"})
    recipe["watching"] = {name: value for name, value in recipe["watching"].items() if name not in watching}
    recipe["volumes"] = [volume.digest() for volume in volumes]
    recipe["processes"] = processes.count
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _validation_batch(
    training: TrainingFile, held: Sequence[TrainingVolume], offsets: Sequence[tuple[int, int, int]]
) -> PatchTensors:
    return PatchSampler(training, held, offsets, augmented=False).batch(0, training.watching.validation_patches)


def _device(schedule: Schedule) -> str:
    device = schedule.device if schedule.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # torchrun's: a GPU for each process
    return device


def _bf16(schedule: Schedule, device: str) -> bool:
    if schedule.precision != "auto":
        return schedule.precision == "bf16"
    return torch.cuda.is_bf16_supported() if device == "cuda" else hardware_bf16()
