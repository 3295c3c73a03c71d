"""``mmn-edge train`` and ``mmn-edge recipes``."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import terminal
from mmn_edge.cli.completion import of_recipe_fields, of_recipes
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.extras import require

if TYPE_CHECKING:
    from mmn_edge.train.log import EpochResult
    from mmn_edge.train.trainer import Trainer

__all__ = ["recipes", "train"]


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

    from mmn_edge.train.run import MADE, planned, unlearnable

    if threads is not None:
        torch.set_num_threads(threads)
    shortcuts = {"stream": stream, "optim.epochs": epochs, "seed": seed, "optim.body_rate": body_rate}
    given = [f"{field}={value}" for field, value in shortcuts.items() if value is not None]
    with planned(
        data,
        recipe=name,
        changes=(*changes, *given),
        output=output,
        checkpoint=initial,
        qat=qat,
        train_split=train_split,
        val_split=val_split,
        size=size,
        device=device,
        tensorboard=tensorboard,
    ) as trainer:
        source, processes, folder = trainer.data, trainer.processes, trainer.folder
        if processes.first:
            click.echo(
                f"training on {data}: {len(source.epoch(0))} clips, {len(source.labels)} classes, "
                f"{len(source.validation)} validation clips, "
                f"{trainer.recipe.optim.epochs} epochs on {processes.device} -> {folder}",
                err=True,
            )
            if trainer.clip_seconds is not None:
                window = f"the live window is {trainer.window.seconds:g} s"
                click.echo(f"clips of {trainer.clip_seconds:.3g} s in the median: {window}", err=True)
            if trainer.beginning.note:
                click.echo(trainer.beginning.note, err=True)
            terminal.warn([*source.findings, *unlearnable(source)], None if data in MADE else Path(data))
        best = _fit(trainer, resume)
        if processes.first:
            click.echo(
                f"best validation {_measure(trainer)} {best.accuracy:.2%} in epoch {best.epoch}: {folder / 'best.pt'}"
            )


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
        rows = [[entry, _about(recipe_files.text(entry))] for entry in recipe_files.names()]
        terminal.glossary(rows)
        return
    if name == "paper" and not changes:
        click.echo(recipe_files.text(name), nl=False)
        return
    recipe = recipe_files.load(name, changes)
    import yaml

    values = recipe.to_dict()
    values.pop("name")
    click.echo(yaml.safe_dump(values, sort_keys=False), nl=False)


def _about(text: str) -> str:
    """What a recipe says of itself: the comment that it begins with."""
    lines = takewhile(lambda line: line.startswith("#") and line.strip("# "), text.splitlines())
    return " ".join(line.strip("# ") for line in lines)


def _measure(trainer: Trainer) -> str:
    """What its epochs are compared by."""
    from mmn_edge.model.task import DETECT

    return "event mAP" if trainer.recipe.task == DETECT else "accuracy"


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
                f"{result.validation_loss:.3f}  val {_measure(trainer)} {result.accuracy:7.2%}  {result.seconds:.0f} s"
            )
            progress.update(task, description=f"epoch {min(result.epoch + 1, epochs)}", completed=0)

        return trainer.fit(resume=resume, on_step=on_step, on_epoch=on_epoch)
