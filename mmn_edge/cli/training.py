"""``mmn-edge train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge import presets
from mmn_edge.errors import DataError, UsageError
from mmn_edge.extras import require
from mmn_edge.preprocess import STREAMS

if TYPE_CHECKING:
    from mmn_edge.train.data import TrainingData
    from mmn_edge.train.recipe import Recipe
    from mmn_edge.train.trainer import EpochResult, Trainer

__all__ = ["train"]

SYNTHETIC = "synthetic"


@click.command()
@click.argument("data")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option(
    "--preset",
    metavar="NAME",
    help=f"Layout, classes and recipe: {', '.join(presets.PRESETS)}. Needed for files.",
)
@click.option("--stream", type=click.Choice(STREAMS), default="joint", show_default=True)
@click.option("--train-split", default="train", show_default=True, help="Name of the training split.")
@click.option("--val-split", help="Name of the validation split.  [default: val, or test where there is no val]")
@click.option("--epochs", type=click.IntRange(min=1), help="[default: the recipe's]")
@click.option("--batch-size", type=click.IntRange(min=2), help="[default: the recipe's]")
@click.option("--lr", type=float, help="Peak learning rate.  [default: the recipe's]")
@click.option("--seed", type=click.IntRange(min=0), help="[default: the recipe's]")
@click.option("--width", type=click.IntRange(min=16), help="Channels of the network.  [default: the recipe's]")
@click.option("--depth", type=click.IntRange(min=1), help="Blocks at each of the four scales.  [default: the recipe's]")
@click.option("--size", default=1040, show_default=True, help="Synthetic clips an epoch.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder after its last whole epoch.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of PyTorch.")
def train(
    data: str,
    output: Path | None,
    preset: str | None,
    stream: str,
    train_split: str,
    val_split: str | None,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int | None,
    width: int | None,
    depth: int | None,
    size: int,
    resume: bool,
    threads: int | None,
) -> None:
    """Train MMN on DATA: an annotation pickle, a folder in the authors' format, or the word synthetic.

    After each epoch the validation accuracy is shown; best.pt and last.pt in the run's folder describe themselves, so
    that mmn-edge convert needs nothing else.

    \b
    Examples:
      mmn-edge train synthetic
      mmn-edge train nw_ucla.pkl --preset nw-ucla -o runs/ucla
      mmn-edge train data/MA52 --preset ma52 --stream bone -o runs/ma52-bone
      mmn-edge train data/MA52 --preset ma52 --stream bone -o runs/ma52-bone --resume
    """
    require("torch", extra="train", purpose="Training")
    import torch

    from mmn_edge import layouts
    from mmn_edge.architecture import Architecture
    from mmn_edge.train import recipe as recipes
    from mmn_edge.train.trainer import Trainer

    if threads is not None:
        torch.set_num_threads(threads)
    name = preset or (SYNTHETIC if data == SYNTHETIC else None)
    if data == SYNTHETIC and name != SYNTHETIC:
        raise UsageError(f"{SYNTHETIC} data has a preset of its own: leave --preset {name} out")
    if name is None:
        raise UsageError(f"say what is in {data} with --preset: {', '.join(presets.PRESETS)}")
    chosen = presets.get(name)
    layout = layouts.get(chosen.layout)
    recipe = recipes.get(name).with_values(
        width=width, depth=depth, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed
    )
    source = _data(data, chosen, recipe, train_split, val_split, size)
    channels = source.validation[0].keypoints.shape[2]
    arch = Architecture(
        num_classes=len(source.labels),
        num_joints=layout.num_joints,
        in_channels=channels,
        width=recipe.width,
        depth=recipe.depth,
        mlp_width=2 * recipe.width,
    )
    folder = output or Path("runs") / f"{name}-{stream}"
    trainer = Trainer(source, arch, recipe, layout, stream, folder, name, chosen.window)
    click.echo(
        f"training on {data}: {len(source.labels)} classes, {len(source.validation)} validation clips, "
        f"{recipe.epochs} epochs -> {folder}",
        err=True,
    )
    best = _fit(trainer, recipe.epochs, resume)
    click.echo(f"best validation accuracy {best.accuracy:.2%} in epoch {best.epoch}: {folder / 'best.pt'}")


def _data(
    data: str,
    preset: presets.Preset,
    recipe: Recipe,
    train_split: str,
    val_split: str | None,
    size: int,
) -> TrainingData:
    from mmn_edge import clips, labels, layouts
    from mmn_edge.train.data import AnnotatedData, SyntheticData

    if data == SYNTHETIC:
        return SyntheticData(size, max(size // 2, 13), recipe.seed)
    path = Path(data)
    if not path.exists():
        raise DataError(f"{data} does not exist: name an annotation pickle, a folder, or the word {SYNTHETIC}")
    if val_split is None:
        val_split = "val" if "val" in clips.splits(path) else "test"
    names = labels.get(preset.labels) if preset.labels else None
    return AnnotatedData(path, layouts.get(preset.layout), names, train_split, val_split)


def _fit(trainer: Trainer, epochs: int, resume: bool) -> EpochResult:
    """Train with a progress bar and a line an epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("epoch 1", total=None, loss=float("nan"))

        def on_step(step: int, steps: int, loss: float) -> None:
            progress.update(task, completed=step, total=steps, loss=loss)

        def on_epoch(result: EpochResult) -> None:
            click.echo(
                f"epoch {result.epoch:3}/{epochs}  train loss {result.train_loss:.3f}  val loss "
                f"{result.validation_loss:.3f}  val accuracy {result.accuracy:7.2%}  {result.seconds:.0f} s"
            )
            progress.update(task, description=f"epoch {min(result.epoch + 1, epochs)}", completed=0)

        return trainer.fit(resume=resume, on_step=on_step, on_epoch=on_epoch)
