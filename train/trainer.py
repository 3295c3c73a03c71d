"""The training loop: one epoch after another, a validation after each, checkpoints written whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import mmn_edge
from mmn_edge import layouts
from mmn_edge.architecture import Architecture
from mmn_edge.errors import CheckpointError, DataError, MmnEdgeError, UsageError
from mmn_edge.files import atomic_file
from mmn_edge.network import MMN, load_safely
from mmn_edge.preprocess import Preprocessing
from mmn_edge.presets import Window
from mmn_edge.train.data import TrainingData, evaluation_batches, training_batches
from mmn_edge.train.recipe import Recipe, learning_rate

__all__ = ["EpochResult", "Trainer"]

BEST, LAST = "best.pt", "last.pt"


@dataclass(frozen=True)
class EpochResult:
    """What an epoch brought."""

    epoch: int
    train_loss: float
    validation_loss: float
    accuracy: float
    learning_rate: float
    seconds: float


@dataclass
class Trainer:
    """Trains one network on one data set.

    Attributes:
        data: Clips to train and validate on.
        arch: The network's options.
        recipe: How to train.
        layout: The clips' layout.
        stream: The stream to train on.
        folder: Where ``best.pt``, ``last.pt`` and ``log.jsonl`` go.
        preset: Name of the preset, for the checkpoint's description.
        window: The live window that a bundle made from the checkpoint will use.
    """

    data: TrainingData
    arch: Architecture
    recipe: Recipe
    layout: layouts.Layout
    stream: str
    folder: Path
    preset: str
    window: Window
    history: list[EpochResult] = field(default_factory=list)

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
            on_epoch: Called with each epoch's result.

        Raises:
            UsageError: The folder holds a run, or the run to resume is another one.
            DataError: Too few clips for one batch.
            MmnEdgeError: The loss stopped being finite, or a checkpoint could not be written.
        """
        recipe = self.recipe
        torch.manual_seed(recipe.seed)
        rng = np.random.default_rng(recipe.seed)
        network = MMN(self.arch, drop_path=recipe.drop_path, head_drop=recipe.head_drop)
        optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        last = self.folder / LAST
        if resume:
            self._restore(last, network, optimizer, rng)
        elif last.exists():
            raise UsageError(f"{self.folder} holds a run: continue it with --resume, or choose another folder with -o")
        self.folder.mkdir(parents=True, exist_ok=True)
        for epoch in range(len(self.history), recipe.epochs):
            began = time.perf_counter()
            train_loss, rate = self._train_epoch(epoch, network, optimizer, rng, on_step)
            validation_loss, accuracy = self._validate(network)
            result = EpochResult(epoch + 1, train_loss, validation_loss, accuracy, rate, time.perf_counter() - began)
            self.history.append(result)
            # The best one first: killed between the two, a resumed run trains this epoch again and saves it again.
            if result == self.best:
                self._save(BEST, network)
            self._save(LAST, network, optimizer=optimizer, rng=rng)
            self._write_log()
            on_epoch(result)
        return self.best

    @property
    def best(self) -> EpochResult:
        """The epoch with the highest validation accuracy so far; of several the latest."""
        return max(self.history, key=lambda result: (result.accuracy, result.epoch))

    def _train_epoch(
        self,
        epoch: int,
        network: MMN,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        on_step: Callable[[int, int, float], None],
    ) -> tuple[float, float]:
        """One pass over the data; returns the mean loss and the last learning rate."""
        recipe = self.recipe
        clips = self.data.epoch(epoch)
        steps = len(clips) // recipe.batch_size
        if steps == 0:
            raise DataError(
                f"the training split has {len(clips)} clips, fewer than one batch of {recipe.batch_size}: choose "
                "a smaller --batch-size"
            )
        batches = training_batches(
            clips,
            self.preprocessing,
            batch_size=recipe.batch_size,
            frames=self.arch.num_frames,
            sampling=recipe.sampling,
            erase_probability=recipe.erase,
            rng=rng,
        )
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        network.train()
        total, rate = 0.0, recipe.lr
        for index, (x, index_t, target) in enumerate(batches):
            rate = learning_rate(recipe, epoch * steps + index, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = criterion(network(x, index_t), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            value = float(loss.detach())
            if not np.isfinite(value):
                raise MmnEdgeError(
                    f"the loss became {value} in epoch {epoch + 1}, step {index + 1}: lower --lr; checkpoints of "
                    f"earlier epochs, if any, are in {self.folder}"
                )
            total += value
            on_step(index + 1, steps, value)
        return total / steps, rate

    @property
    def preprocessing(self) -> Preprocessing:
        """What turns a clip into the network's input."""
        return Preprocessing.for_layout(self.layout, self.stream)

    def _validate(self, network: MMN) -> tuple[float, float]:
        """Cross-entropy and top-1 accuracy on the validation clips."""
        network.eval()
        loss, hits, count = 0.0, 0, 0
        with torch.inference_mode():
            for x, index_t, target in evaluation_batches(
                self.data.validation, self.preprocessing, batch_size=64, frames=self.arch.num_frames
            ):
                logits = network(x, index_t)
                loss += float(nn.functional.cross_entropy(logits, target, reduction="sum"))
                hits += int((logits.argmax(1) == target).sum())
                count += len(target)
        return loss / count, hits / count

    def _save(
        self,
        name: str,
        network: MMN,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Write a checkpoint that describes itself; with an optimizer and a generator, one to resume from."""
        content: dict[str, Any] = {"model": network.state_dict(), "description": self._description()}
        if optimizer is not None and rng is not None:
            content["training"] = {
                "optimizer": optimizer.state_dict(),
                "torch_rng": torch.get_rng_state(),
                "numpy_rng": json.dumps(rng.bit_generator.state),  # as text: it holds 128-bit numbers
                "history": [asdict(result) for result in self.history],
            }
        path = self.folder / name
        try:
            with atomic_file(path) as partial:
                torch.save(content, partial)
        except (OSError, RuntimeError) as error:
            raise MmnEdgeError(f"cannot write {path}: {error}; the checkpoint of the epoch before is intact") from error

    def _description(self) -> dict[str, Any]:
        """What a checkpoint says of itself, so that ``mmn-edge convert`` needs nothing else."""
        return {
            "preset": self.preset,
            "layout": self.layout.name,
            "labels": self.data.labels.to_dict(),
            "window": asdict(self.window),
            "stream": self.stream,
            "options": {"num_people": self.arch.num_people, "global_pool": self.arch.global_pool},
            "recipe": self.recipe.to_dict(),
            "result": asdict(self.history[-1]),
            "tools": {"mmn-edge": mmn_edge.__version__, "torch": str(torch.__version__)},
        }

    def _restore(self, path: Path, network: MMN, optimizer: torch.optim.Optimizer, rng: np.random.Generator) -> None:
        """Take up the run that ``path`` belongs to, after checking that it is this one."""
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
            network.load_state_dict(content["model"])
            optimizer.load_state_dict(training["optimizer"])
            torch.set_rng_state(training["torch_rng"])
            rng.bit_generator.state = json.loads(training["numpy_rng"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} is no checkpoint to resume from: {error}") from error

    def _write_log(self) -> None:
        """All epochs so far, one a line; written anew, because a resumed run may repeat an epoch."""
        with atomic_file(self.folder / "log.jsonl") as partial:
            partial.write_text("".join(json.dumps(asdict(r)) + "\n" for r in self.history), encoding="utf-8")
