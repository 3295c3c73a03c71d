"""``mmn-edge train`` and ``mmn-edge recipes``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import of_recipe_fields, of_recipes
from mmn_edge.errors import DataError, UsageError
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.skeleton.layouts import Layout
    from mmn_edge.train.data import TrainingData
    from mmn_edge.train.log import EpochResult
    from mmn_edge.train.recipe import Recipe
    from mmn_edge.train.trainer import Trainer

__all__ = ["recipes", "train"]

SYNTHETIC, SCENES = "synthetic", "synthetic-scenes"
MADE = (SYNTHETIC, SCENES)
"""Data that is made and not read."""


@click.command()
@click.argument("data")
@click.option(
    "--recipe",
    "name",
    metavar="NAME",
    shell_complete=of_recipes,
    help="A recipe of 'mmn-edge recipes', or a .yaml file of your own.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    shell_complete=of_recipe_fields,
    help="Change a recipe's field. Repeatable.",
)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--stream", type=click.Choice(STREAMS), help="[default: the recipe's]")
@click.option("--epochs", type=click.IntRange(min=1), help="[default: the recipe's]")
@click.option("--seed", type=click.IntRange(min=0), help="[default: the recipe's]")
@click.option(
    "--from",
    "initial",
    type=click.Path(path_type=Path),
    help="Start from this checkpoint's weights; of other classes its body.",
)
@click.option(
    "--body-rate",
    type=click.FloatRange(min=0),
    metavar="SHARE",
    help="All but the head learns at this share of the rate.",
)
@click.option("--qat", is_flag=True, help="Quantization-aware fine-tuning of the checkpoint given with --from.")
@click.option("--train-split", default="train", show_default=True, help="Name of the training split.")
@click.option("--val-split", help="Name of the validation split.  [default: val, or test where there is no val]")
@click.option("--size", type=click.IntRange(min=13), default=1040, show_default=True, help="Synthetic clips an epoch.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder after its last whole epoch.")
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:1.  [default: a GPU where there is one]")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of PyTorch.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard events beside log.csv.")
def train(
    data: str,
    name: str | None,
    changes: tuple[str, ...],
    output: Path | None,
    stream: str | None,
    epochs: int | None,
    seed: int | None,
    initial: Path | None,
    body_rate: float | None,
    qat: bool,
    train_split: str,
    val_split: str | None,
    size: int,
    resume: bool,
    device: str | None,
    threads: int | None,
    tensorboard: bool,
) -> None:
    """Train MMN on DATA: a data set as 'mmn-edge data check' reads it, or the word synthetic.

    After each epoch the validation accuracy is shown; best.pt and last.pt in the run's folder describe themselves, so
    that mmn-edge convert and evaluate need nothing else. Several GPUs or hosts: start it with torchrun.

    \b
    Examples:
      mmn-edge train synthetic
      mmn-edge train nw_ucla.pkl --recipe nw-ucla-joint -o runs/ucla
      mmn-edge train data/MA52 --recipe ma52-joint --stream bone -o runs/ma52-bone
      mmn-edge train data/MA52 --recipe ma52-joint --set optim.lr=5e-4 --set optim.precision=bf16
      mmn-edge train mine.pkl --recipe custom --from ma52.pt --body-rate 0.1
      mmn-edge train nw_ucla.pkl --recipe nw-ucla-joint -o runs/ucla --resume
      mmn-edge train nw_ucla.pkl --recipe nw-ucla-joint --qat --from runs/ucla/best.pt -o runs/ucla-int8
      torchrun --nproc-per-node 4 -m mmn_edge train data/MA52 --recipe ma52-joint
    """
    require("torch", extra="train", purpose="Training")
    import torch

    from mmn_edge.model import presets
    from mmn_edge.skeleton import layouts
    from mmn_edge.train import recipe as recipe_files
    from mmn_edge.train.distributed import joined
    from mmn_edge.train.start import begin
    from mmn_edge.train.trainer import Trainer

    if threads is not None:
        torch.set_num_threads(threads)
    if data in MADE and name is None:
        name = data
    own_layout = None if data in MADE else _own_layout(Path(data), train_split)
    if name is None:
        if own_layout is None:
            raise UsageError(
                f"say how to train on {data} with --recipe: {', '.join(recipe_files.names())}, or a .yaml file"
            )
        name = "custom"
    shortcuts = {"stream": stream, "optim.epochs": epochs, "seed": seed, "optim.body_rate": body_rate}
    recipe = recipe_files.load(
        name, (*changes, *(f"{field}={value}" for field, value in shortcuts.items() if value is not None)), qat=qat
    )
    if recipe.qat.enabled and initial is None:
        raise UsageError("quantization-aware training fine-tunes a trained network: name its checkpoint with --from")
    if recipe.preset != data and (data in MADE or recipe.preset in MADE):
        raise UsageError(f"recipe {name} is not for {data}: synthetic data and its recipe belong together")
    if (recipe.task == "detect") != (data == SCENES):
        raise UsageError(
            f"recipe {name} is of the task {recipe.task}: classify takes clips with a class each, detect takes {SCENES}"
        )
    preset = presets.get(recipe.preset) if recipe.preset else None
    layout_name = preset.layout if preset else own_layout
    if layout_name is None:
        raise UsageError(
            f"{data} does not say its layout, and recipe {name} names no preset: choose one with --set preset=.., or "
            "import the data with 'mmn-edge data import', which writes the layout"
        )
    layout = layouts.get(layout_name)
    window = preset.window if preset else presets.Window()
    source = _data(data, layout, preset, recipe, train_split, val_split, size)
    folder = output or Path("runs") / (recipe.name if stream is None else f"{recipe.name}-{stream}")
    with joined(device) as processes:
        trainer = Trainer(
            source, begin(source, layout, recipe, initial), layout, folder, window, processes, tensorboard
        )
        if processes.first:
            click.echo(
                f"training on {data}: {len(source.epoch(0))} clips, {len(source.labels)} classes, "
                f"{len(source.validation)} validation clips, "
                f"{trainer.recipe.optim.epochs} epochs on {processes.device} -> {folder}",
                err=True,
            )
            if trainer.beginning.note:
                click.echo(trainer.beginning.note, err=True)
            terminal.warn([*source.findings, *_warnings(source)], None if data in MADE else Path(data))
        best = _fit(trainer, resume)
        if processes.first:
            click.echo(f"best validation accuracy {best.accuracy:.2%} in epoch {best.epoch}: {folder / 'best.pt'}")


@click.command()
@click.argument("name", required=False, shell_complete=of_recipes)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    shell_complete=of_recipe_fields,
    help="Show NAME as changed. Repeatable.",
)
def recipes(name: str | None, changes: tuple[str, ...]) -> None:
    """List the training recipes, or show all fields of the recipe NAME.

    \b
    Examples:
      mmn-edge recipes
      mmn-edge recipes paper                             every field, explained
      mmn-edge recipes nw-ucla-joint --set optim.lr=1e-3
    """
    from mmn_edge.train import recipe as recipe_files

    if name is None:
        width = max(map(len, recipe_files.names()))
        for entry in recipe_files.names():
            first = recipe_files.text(entry).splitlines()[0].lstrip("# ")
            click.echo(f"{entry:{width}}  {first}")
        return
    if name == "paper" and not changes:
        click.echo(recipe_files.text(name), nl=False)
        return
    recipe = recipe_files.load(name, changes)
    import yaml

    values = recipe.to_dict()
    values.pop("name")
    click.echo(yaml.safe_dump(values, sort_keys=False), nl=False)


def _own_layout(path: Path, split: str) -> str | None:
    """The layout that a data set says it is in, read off the first clip of a split."""
    from mmn_edge.datasets import reading

    if not path.exists():
        raise DataError(
            f"{path} does not exist: name an annotation pickle, a folder, or the word {SYNTHETIC} or {SCENES}"
        )
    for entry in reading.open_source(path, split).of_split(split):
        with suppress(DataError):  # said when all are read
            return entry.read().layout
    return None


def _data(
    data: str,
    layout: Layout,
    preset: object,
    recipe: Recipe,
    train_split: str,
    val_split: str | None,
    size: int,
) -> TrainingData:
    from mmn_edge.evaluation.testset import default_split
    from mmn_edge.model import labels, presets
    from mmn_edge.train.data import AnnotatedData, SyntheticData

    if data == SCENES:
        from mmn_edge.train.detection import SceneData

        return SceneData(size, max(size // 130, 2), recipe.seed, presets.get(SCENES).window, recipe.detect.focus)
    if data == SYNTHETIC:
        return SyntheticData(size, max(size // 2, 13), recipe.seed)
    path = Path(data)
    val_split = val_split or default_split(path) or "val"
    named = preset.labels if isinstance(preset, presets.Preset) else None
    return AnnotatedData(path, layout, labels.get(named) if named else None, train_split, val_split)


def _warnings(source: TrainingData) -> list[str]:
    """What is odd about the training data, without being wrong."""
    from mmn_edge.train.data import class_counts

    counts = class_counts(source.epoch(0), len(source.labels))
    empty = [name for name, count in zip(source.labels.classes, counts, strict=True) if not count]
    if not empty:
        return []
    return [f"{len(empty)} classes have no training clip and cannot be learned: {', '.join(empty)}"]


def _fit(trainer: Trainer, resume: bool) -> EpochResult:
    """Train with a progress bar and a line an epoch."""
    from rich.progress import TextColumn

    epochs = trainer.recipe.optim.epochs
    loss_column = TextColumn("loss {task.fields[loss]:.3f}")
    with terminal.bar(loss_column, disable=not trainer.processes.first) as progress:
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
