"""The training loop: one epoch after another, a validation after each, checkpoints written whole or not at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mmn_edge
from mmn_edge.errors import CheckpointError, DataError, MmnEdgeError, UsageError
from mmn_edge.model.presets import Window
from mmn_edge.model.task import DETECT
from mmn_edge.network import MMN, load_safely
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.preprocess import Preprocessing
from mmn_edge.system.files import atomic_file
from mmn_edge.train import curves
from mmn_edge.train.amp import training_dtype
from mmn_edge.train.compile import compile_blocks, record
from mmn_edge.train.data import (
    Batch,
    TrainingData,
    TrainingWindows,
    class_counts,
    digest,
    evaluation_batches,
    training_batches,
)
from mmn_edge.train.detection import DetectionData
from mmn_edge.train.distributed import Processes
from mmn_edge.train.ema import MovingAverage
from mmn_edge.train.log import LOG, EpochResult, Journal
from mmn_edge.train.loss import Objective, detection_loss
from mmn_edge.train.optimizer import Optimizer
from mmn_edge.train.recipe import Recipe
from mmn_edge.train.schedule import learning_rate
from mmn_edge.train.start import Beginning

__all__ = ["Trainer"]

WORKERS_OF_A_GPU = 4
"""Processes that prepare batches where a recipe does not say: one core prepares fewer clips than a GPU learns from."""

BEST, LAST = "best.pt", "last.pt"


@dataclass
class Trainer:
    """Trains one network on one data set.

    Attributes:
        data: Clips to train and validate on.
        beginning: The network with its first weights, and how to train it.
        layout: The clips' layout.
        folder: Where ``best.pt``, ``last.pt``, ``log.csv`` and ``curves.svg`` go.
        window: The live window that a bundle made from the checkpoint will use.
        processes: This process and those that share the run.
        tensorboard: Whether to write TensorBoard events too.
        history: The results of the epochs so far.
        clip_seconds: How long the training clips are in the median, where they say it; the checkpoint keeps it.
    """

    data: TrainingData
    beginning: Beginning
    layout: layouts.Layout
    folder: Path
    window: Window
    processes: Processes = field(default_factory=lambda: Processes(0, 1, torch.device("cpu")))
    tensorboard: bool = False
    history: list[EpochResult] = field(default_factory=list)
    clip_seconds: float | None = None

    def __post_init__(self) -> None:
        self.recipe, self.network, self.teacher = self.beginning.recipe, self.beginning.network, self.beginning.teacher

    def fit(
        self,
        *,
        resume: bool = False,
        on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
        on_epoch: Callable[[EpochResult], None] = lambda result: None,
    ) -> EpochResult:
        """Train for all epochs and return the best one by validation accuracy.

        Args:
            resume: Continue the run in the folder after its last whole epoch. On the CPU the weights are those that
                the run would have reached unbroken, bit for bit. Without it a folder that holds a run is refused.
            on_step: Called with the step, the steps of the epoch, and the loss.
            on_epoch: Called with each epoch's result, in the first process only.

        Raises:
            UsageError: The folder holds a run, or the run to resume is another one.
            DataError: Too few clips for one batch.
            MmnEdgeError: The loss stopped being finite, or a checkpoint could not be written.
        """
        recipe, device = self.recipe, self.processes.device
        if recipe.optim.batch_size % (recipe.optim.accumulate * self.processes.world):
            raise UsageError(
                f"a batch of {recipe.optim.batch_size} cannot be shared evenly by {self.processes.world} processes of "
                f"{recipe.optim.accumulate} micro-batches: change optim.batch_size"
            )
        self.network.to(device)
        if self.teacher is not None:
            self.teacher.to(device)
        state = _State.begin(self.network, recipe)
        last = self.folder / LAST
        if resume:
            self._restore(last, state)
        elif found := [name for name in (LAST, BEST, LOG) if (self.folder / name).exists()]:
            further = "continue it with --resume" if found[0] == LAST else f"it cannot be continued without {LAST}"
            raise UsageError(f"{self.folder} holds a run ({found[0]}): {further}; or choose another folder with -o")
        self._loop(state, on_step, on_epoch)
        return self.best

    @property
    def best(self) -> EpochResult:
        """The epoch with the highest validation accuracy so far; of several the latest."""
        return max(self.history, key=lambda result: (result.accuracy, result.epoch))

    @cached_property
    def _digest(self) -> str:
        return digest(self.data)

    @property
    def preprocessing(self) -> Preprocessing:
        """What turns a clip into the network's input."""
        return Preprocessing.for_layout(self.layout, self.recipe.stream)

    def _loop(
        self, state: _State, on_step: Callable[[int, int, float], None], on_epoch: Callable[[EpochResult], None]
    ) -> None:
        optim, first = self.recipe.optim, self.processes.first
        if optim.compile:
            compile_blocks(self.network)
        if self._records:
            self._train_mode(self.network)
            record(self.network, optim.batch_size, self._autocast())
        shared = self.processes.share(self.network)
        counts = torch.from_numpy(class_counts(self.data.epoch(0), len(self.data.labels))).float()
        objective = Objective(self.recipe, (counts / counts.sum()).to(self.processes.device), self.teacher)
        if first:
            self.folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(self.folder, len(self.history), tensorboard=self.tensorboard and first)
        epochs = range(len(self.history), optim.epochs)
        batches = self._batches(epochs)
        for epoch in epochs:
            if self._patience_is_spent():
                break
            began = time.perf_counter()
            train_loss, rate = self._train_epoch(epoch, shared, objective, state, batches, on_step)
            # All processes keep the same history, so that all stop together.
            validated = self._validate(state.validated) if first else (0.0, 0.0)
            validation_loss, accuracy = self.processes.of_first(validated)
            if not np.isfinite(validation_loss):
                raise MmnEdgeError(
                    f"the validation loss became {validation_loss} in epoch {epoch + 1}: lower optim.lr; checkpoints "
                    f"of earlier epochs, if any, are in {self.folder}"
                )
            seconds = time.perf_counter() - began
            result = EpochResult(epoch + 1, train_loss, validation_loss, accuracy, rate, seconds)
            self.history.append(result)
            if first:
                # The best one first: killed between the two, a resumed run trains this epoch again and saves it again.
                if result == self.best:
                    self._save(BEST, state)
                self._save(LAST, state, resumable=True)
                journal.write(self.history)
                with atomic_file(self.folder / "curves.svg") as partial:
                    title = f"{self.recipe.name}: {self.layout.name}, stream {self.recipe.stream}"
                    partial.write_text(
                        curves.svg(
                            self.history, optim.epochs, title, "event mAP" if self.recipe.task == DETECT else "top-1"
                        ),
                        encoding="utf-8",
                    )
                on_epoch(result)
        journal.close()

    def _batches(self, epochs: range) -> Iterator[Batch]:
        recipe, processes = self.recipe, self.processes
        workers = recipe.data.workers
        if workers is None:
            workers = WORKERS_OF_A_GPU if processes.device.type == "cuda" else 0
        windows = TrainingWindows(self.data, self.preprocessing, self.layout, recipe)
        return training_batches(windows, recipe, epochs, rank=processes.rank, world=processes.world, workers=workers)

    @property
    def _records(self) -> bool:
        """Whether steps are CUDA graphs: one GPU, one batch a step, and nothing that looks at numbers on the way."""
        optim, processes = self.recipe.optim, self.processes
        alone = processes.world == 1 and optim.accumulate == 1 and not self.recipe.qat.enabled
        return optim.graph and alone and processes.device.type == "cuda"

    def _patience_is_spent(self) -> bool:
        """Whether the accuracy has not risen for as long as the recipe waits; the same once more is no rise."""
        patience = self.recipe.optim.patience
        if not patience or not self.history:
            return False
        risen = max(self.history, key=lambda result: (result.accuracy, -result.epoch)).epoch
        return len(self.history) - risen >= patience

    def _train_epoch(
        self,
        epoch: int,
        network: nn.Module,
        objective: Objective,
        state: _State,
        batches: Iterator[Batch],
        on_step: Callable[[int, int, float], None],
    ) -> tuple[float, float]:
        """One pass over the data; returns the mean loss and the last learning rate."""
        recipe, processes = self.recipe, self.processes
        optim, device = recipe.optim, processes.device
        clips = self.data.epoch(epoch)
        steps = len(clips) // optim.batch_size
        if steps == 0:
            raise DataError(
                f"the training split has {len(clips)} clips, fewer than one batch of {optim.batch_size}: choose "
                "a smaller one with --set optim.batch_size=.."
            )
        self._train_mode(network)
        total, rate = 0.0, optim.lr
        for index in range(steps):
            rate = learning_rate(optim, epoch * steps + index, steps)
            state.optimizer.zero_grad()
            value = 0.0
            for part in range(optim.accumulate):
                micro = processes.rank * optim.accumulate + part
                # Dropout and mixup depend on where in the run this is, not on what ran before in this process.
                seeds = np.random.SeedSequence([recipe.seed, epoch, index, micro])
                torch.manual_seed(int(seeds.generate_state(1)[0]))
                x, index_t, target = (tensor.to(device, non_blocking=True) for tensor in next(batches))
                final = part == optim.accumulate - 1
                waiting = contextlib.nullcontext() if final or processes.world == 1 else network.no_sync()  # type: ignore[operator]
                with waiting:
                    with self._autocast():
                        loss = objective(network, x, index_t, target, np.random.default_rng(seeds))
                    state.scaler.scale(loss / optim.accumulate).backward()  # type: ignore[no-untyped-call]
                value += float(loss.detach()) / optim.accumulate
            value = processes.mean(value)
            if not np.isfinite(value):
                raise MmnEdgeError(
                    f"the loss became {value} in epoch {epoch + 1}, step {index + 1}: lower optim.lr; checkpoints of "
                    f"earlier epochs, if any, are in {self.folder}"
                )
            state.step(rate, optim.clip_norm)
            total += value
            if processes.first:
                on_step(index + 1, steps, value)
        return total / steps, rate

    def _autocast(self) -> torch.autocast:
        """Mixed precision as the recipe asks for it."""
        device = self.processes.device
        dtype = training_dtype(self.recipe.optim.precision, device)
        # Weights are used once a step: there is nothing to keep, and a CUDA graph must not find it kept.
        return torch.autocast(device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)

    def _train_mode(self, network: nn.Module) -> None:
        network.train()
        if self.recipe.qat.enabled and self.recipe.qat.freeze_norm:
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
                    module.eval()

    def _validate(self, network: nn.Module) -> tuple[float, float]:
        """Cross-entropy and top-1 accuracy on the validation clips, in float32 as the saved weights are used."""
        if self.recipe.task == DETECT:
            return self._validate_detection(network)
        network.eval()
        loss, hits, count = 0.0, 0, 0
        device = self.processes.device
        with torch.inference_mode():
            for batch in evaluation_batches(
                self.data.validation, self.preprocessing, batch_size=64, frames=self.recipe.model.frames
            ):
                x, index_t, target = (tensor.to(device) for tensor in batch)
                logits = network(x, index_t).float()
                loss += float(nn.functional.cross_entropy(logits, target, reduction="sum"))
                hits += int((logits.argmax(1) == target).sum())
                count += len(target)
        return loss / count, hits / count

    def _validate_detection(self, network: nn.Module) -> tuple[float, float]:
        """Loss of the validation windows, and detection mAP of the events that they become."""
        if not isinstance(self.data, DetectionData):
            raise TypeError("the task detect trains on recordings with intervals")
        network.eval()
        device, logits, target = self.processes.device, [], []
        with torch.inference_mode():
            for x, index_t, labels in evaluation_batches(
                self.data.validation, self.preprocessing, batch_size=64, frames=self.recipe.model.frames
            ):
                logits.append(network(x.to(device), index_t.to(device)).float().cpu())
                target.append(labels)
        scores, truth = torch.cat(logits), torch.cat(target)
        loss = float(detection_loss(scores, truth))
        return loss, self.data.event_score(torch.sigmoid(scores).numpy())

    def _save(self, name: str, state: _State, *, resumable: bool = False) -> None:
        """Write a checkpoint that describes itself; a resumable one holds all that training goes on from."""
        content: dict[str, Any] = {"model": state.model(), "description": self._description()}
        if resumable:
            history = [asdict(result) for result in self.history]
            content["training"] = {**state.to_dict(), "history": history, "data": self._digest}
        path = self.folder / name
        try:
            with atomic_file(path) as partial:
                torch.save(content, partial)
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise MmnEdgeError(
                f"cannot write {path}: {reason}; the checkpoint of the epoch before is intact: make room, then go on "
                "with --resume"
            ) from error

    def _description(self) -> dict[str, Any]:
        """What a checkpoint says of itself, so that ``mmn-edge convert`` needs nothing else."""
        arch = self.network.arch
        values: dict[str, Any] = {
            "preset": self.recipe.preset,
            "layout": self.layout.name,
            "labels": self.data.labels.to_dict(),
            "window": asdict(self.window),
            "stream": self.recipe.stream,
            "task": self.recipe.task,
            "options": {
                "num_people": arch.num_people,
                "global_pool": arch.global_pool,
                "num_frames": arch.num_frames,
            },
            "recipe": self.recipe.to_dict(),
            "result": asdict(self.history[-1]),
            "tools": {"mmn-edge": mmn_edge.__version__, "torch": str(torch.__version__)},
        }
        if self.clip_seconds is not None:
            values["clip_seconds"] = self.clip_seconds
        if isinstance(self.data, DetectionData):
            values["decoder"] = self.data.decoder.to_dict()
        if self.beginning.kept is not None:
            values["quantization"] = {"method": "qat", "kept": list(self.beginning.kept)}
        return values

    def _restore(self, path: Path, state: _State) -> None:
        """Take up the run that ``path`` belongs to, after checking that it is this one."""
        if not path.exists():
            raise UsageError(f"{self.folder} holds no {LAST}, as no epoch was finished there: start without --resume")
        content = load_safely(path)
        try:
            description, training = content["description"], content["training"]
            self.history = [EpochResult(**entry) for entry in training["history"]]
            ours = self._description()
            changed = [key for key in ("recipe", "layout", "labels", "stream") if description[key] != ours[key]]
            if changed:
                raise UsageError(
                    f"the run in {self.folder} has another {' and '.join(changed)}: resume it with the options that "
                    "it was started with, or choose another folder with -o"
                )
            if training.get("data", self._digest) != self._digest:
                raise UsageError(
                    f"the run in {self.folder} was trained on another data set: its clips' names, labels, lengths or "
                    "keypoints are not these; resume it with the one that it was started with, or choose another "
                    "folder with -o"
                )
            state.restore(training)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{path} is no checkpoint to resume from: {error}") from error


@dataclass
class _State:
    """All that changes from step to step; randomness is a function of the step, so no generator is among it."""

    network: MMN
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: MovingAverage | None

    @classmethod
    def begin(cls, network: MMN, recipe: Recipe) -> _State:
        device = next(network.parameters()).device
        return cls(
            network,
            Optimizer(network, recipe.optim),
            torch.amp.GradScaler(device.type, enabled=recipe.optim.precision == "fp16"),
            MovingAverage(network, recipe.optim.ema) if recipe.optim.ema else None,
        )

    @property
    def validated(self) -> nn.Module:
        """The network that is validated and saved."""
        return self.network if self.average is None else self.average.module

    def step(self, rate: float, clip_norm: float) -> None:
        """Apply the gradients."""
        self.optimizer.step(self.scaler, rate, clip_norm)
        if self.average is not None:
            self.average.update()

    def model(self) -> dict[str, Any]:
        """The state dict to use: the average where there is one."""
        return self.validated.state_dict()

    def to_dict(self) -> dict[str, Any]:
        """What training goes on from."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
        }

    def restore(self, values: dict[str, Any]) -> None:
        """The inverse of :meth:`to_dict`."""
        self.network.load_state_dict(values["network"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.scaler.load_state_dict(values["scaler"])
        if self.average is not None:
            self.average.load_state_dict(values["average"])
