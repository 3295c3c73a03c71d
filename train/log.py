"""What a run leaves to read: ``log.csv``, and TensorBoard's events where that is wanted."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmn_edge.system.extras import require
from mmn_edge.system.files import atomic_file

__all__ = ["LOG", "EpochResult", "Journal"]

LOG = "log.csv"


@dataclass(frozen=True)
class EpochResult:
    """What an epoch brought.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean over the epoch's steps.
        validation_loss: Of the validation clips or windows.
        accuracy: Top-1 on the validation clips, 0 to 1; of the task detect the events' detection mAP.
        learning_rate: Of the epoch's last step.
        seconds: Wall time with validation.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    accuracy: float
    learning_rate: float
    seconds: float


class Journal:
    """Writes the logs of a run.

    Args:
        folder: The run's folder, which is there.
        done: Epochs that are written already; TensorBoard's events of later ones are dropped.
        tensorboard: Also write TensorBoard events, to ``folder/tensorboard``.

    Raises:
        MissingDependencyError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, done: int = 0, *, tensorboard: bool = False) -> None:
        self._folder = folder
        self._writer: Any = None
        if tensorboard:
            require("tensorboard", extra="tensorboard", purpose="Writing TensorBoard logs")
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def write(self, history: Sequence[EpochResult]) -> None:
        """Write all epochs so far, anew, because a resumed run may repeat one."""
        with atomic_file(self._folder / LOG) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [entry.name for entry in fields(EpochResult)], lineterminator="\n")
            table.writeheader()
            table.writerows(asdict(result) for result in history)
        if self._writer is not None:
            for name, value in asdict(history[-1]).items():
                if name != "epoch":
                    self._writer.add_scalar(name, value, history[-1].epoch)
            self._writer.flush()

    def close(self) -> None:
        """Finish the events."""
        if self._writer is not None:
            self._writer.close()
