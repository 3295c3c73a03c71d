"""``mmn-edge profile``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmn_edge.cli import engines, terminal
from mmn_edge.cli.options import OutputFile, find_bundle, numbers
from mmn_edge.errors import GateError, UsageError
from mmn_edge.latency import gates, tables
from mmn_edge.latency.comparison import Comparison
from mmn_edge.latency.report import Accuracy, Earlier, Operator, Report, read_measurements
from mmn_edge.system import jetson, machine, power
from mmn_edge.system.conditions import Conditions

if TYPE_CHECKING:
    from mmn_edge.evaluation.testset import EvaluationSet
    from mmn_edge.latency.measurement import Measurement
    from mmn_edge.runtime.timing.targets import Target

__all__ = ["profile"]

MAX_BATCH = 4096
CALLS_FOR_P99 = 400
"""Independent calls need 368 for the 99th percentile."""
MERGE = "merge"


@click.command()
@click.argument("names", metavar="[TARGET]...", nargs=-1)
@click.option("--batch", default="1,2,4,8", show_default=True, help="Windows in a call (persons), comma-separated.")
@click.option("--threads", default=None, help="Thread counts, comma-separated.  [default: the backend's]")
@click.option(
    "--backend",
    metavar="NAME,...",
    help="What runs a bundle: tensorrt, tensorrt-rtx, onnxruntime, openvino, onnxruntime-cuda, onnxruntime-tensorrt "
    "or onnxruntime-tensorrt-rtx; several with commas.  [default: as mmn-edge run chooses]",
)
@click.option(
    "--precision",
    metavar="NAME,...",
    help="Which of the bundle's models, several with commas, or all.  [default: as mmn-edge run chooses]",
)
@click.option("--seconds", default=5.0, show_default=True, help="Time spent on each setting.")
@click.option("--pace", metavar="FPS", type=float, help="Also call at this frame rate, and count missed deadlines.")
@click.option("--source", help="Also time the whole pipeline on this source (as of mmn-edge run).")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labelled clips: accuracy of what is timed, beside its latency.",
)
@click.option("--split", help="Their split.  [default: val, or test, or all clips]")
@click.option("--operators", is_flag=True, help="Also time every kind of operator, by the backend's profiler.")
@click.option("--compare", is_flag=True, help="Measure two targets in turns (A B B A), and say which is faster.")
@click.option("--noise", default="2%", show_default=True, help="With --compare: smaller differences are none.")
@click.option("--baseline", type=click.Path(path_type=Path), help="An earlier report (.json) to compare with.")
@click.option("--fail-if-slower", metavar="SHARE", help="Exit 10 if slower than --baseline, or B than A, by more: 5%.")
@click.option("--max-p99", metavar="TIME", help="Exit 10 if a 99th percentile is longer: 20ms.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=OutputFile(".json", ".html"),
    help="Write the report: .json (all samples) or .html (one page with charts). Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def profile(
    names: tuple[str, ...],
    batch: str,
    threads: str | None,
    backend: str | None,
    precision: str | None,
    seconds: float,
    pace: float | None,
    source: str | None,
    data: Path | None,
    split: str | None,
    operators: bool,
    compare: bool,
    noise: str,
    baseline: Path | None,
    fail_if_slower: str | None,
    max_p99: str | None,
    outputs: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure latency and throughput of TARGET on this machine.

    TARGET is a bundle, one of its precisions (model.bundle:int8), an engine, or an ONNX file. Every figure says what it
    is of: one call of the model, or with --source the whole way from a frame to its predictions. Percentiles have 95 %
    intervals, and are given only where there are calls enough for them. A warning tells when the machine was busy.

    mmn-edge profile merge R1.json R2.json makes one table of reports from several machines.

    \b
    Examples:
      mmn-edge profile model.bundle
      mmn-edge profile model.bundle -o report.html -o report.json
      mmn-edge profile model.bundle --precision all --data clips.pkl
      mmn-edge profile model.bundle --backend onnxruntime,openvino --threads 1,2
      mmn-edge profile model.bundle --batch 1 --pace 30
      mmn-edge profile model.bundle --source talk.jsonl
      mmn-edge profile model.bundle:fp32 model.bundle:int8 --compare
      mmn-edge profile model.bundle --baseline report.json --fail-if-slower 5%
      mmn-edge profile model.bundle --batch 1 --max-p99 20ms
      mmn-edge profile merge orin.json nano.json -o boards.html
    """
    if names[:1] == (MERGE,):
        _merge([Path(name) for name in names[1:]], outputs, as_json)
        return
    slower = gates.share(fail_if_slower) if fail_if_slower is not None else None
    limit = gates.milliseconds(max_p99) if max_p99 is not None else None
    threshold = gates.share(noise)
    if slower is not None and baseline is None and not compare:
        raise UsageError("--fail-if-slower needs what to be compared with: --baseline REPORT.json, or A B --compare")
    if baseline is not None and compare:
        raise UsageError("--baseline is a report of before, and --compare measures both now: give one of them")
    batches = numbers(batch, "--batch", most=MAX_BATCH)
    counts: list[int | None] = [*numbers(threads, "--threads", most=256)] if threads else [None]
    earlier = read_measurements(baseline) if baseline is not None else None
    clips = _clips(data, split)
    targets = _targets(names, backend, precision)
    if (source is not None or clips is not None) and any(target.bundle is None for target in targets):
        raise UsageError("--source and --data need bundles: an ONNX file does not say what its numbers mean")
    session = _Session(targets, batches, counts, seconds, CALLS_FOR_P99 if limit is not None else 0)
    if compare:
        report = session.compare(threshold)
    else:
        report = session.measure(pace=pace, source=source, clips=clips, operators=operators)
    outcomes = []
    if limit is not None and not compare:
        outcomes += gates.against_limit(report.measurements, limit)
    if slower is not None and earlier is not None:
        outcomes += gates.against_baseline(report.measurements, earlier, slower)
    if slower is not None and report.comparison is not None:
        outcomes.append(gates.in_comparison(report.comparison, slower))
    _write(report, outputs)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1))
    else:
        _print(report, earlier)
    for outcome in outcomes:
        click.echo(f"{'passed' if outcome.passed else 'FAILED'}: {outcome.words}", err=as_json)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        raise GateError(f"{len(failed)} of {len(outcomes)} gates failed: {failed[0].words}")


class _Session:
    """One run of the command: measures, with the machine's state before and after."""

    def __init__(
        self,
        targets: Sequence[Target],
        batches: Sequence[int],
        threads: Sequence[int | None],
        seconds: float,
        fewest: int,
    ) -> None:
        self._targets = targets
        self._batches = batches
        self._threads = threads
        self._seconds = seconds
        self._fewest = fewest
        self._before = Conditions.read()
        self._created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def measure(
        self, *, pace: float | None, source: str | None, clips: EvaluationSet | None, operators: bool
    ) -> Report:
        """Time every setting of every target."""
        from mmn_edge.runtime.timing.accuracy import accuracy_of, mark_front
        from mmn_edge.runtime.timing.measuring import FEWEST_CALLS, TURNS, load, measure_back_to_back, measure_paced
        from mmn_edge.runtime.timing.operators import operator_times
        from mmn_edge.runtime.timing.pipeline import measure_source

        found: list[Measurement] = []
        accuracies: list[Accuracy] = []
        kinds: list[Operator] = []
        turns = TURNS * len(self._batches)
        total = len(self._targets) * len(self._threads) * turns
        done = 0
        with terminal.following("loading") as follow:
            for target in self._targets:
                for count in self._threads:
                    loaded = load(target, count, functools.partial(click.echo, err=True))
                    words = f"{loaded.runner.precision}, {count or 'default'} threads"

                    def advance(words: str = words) -> None:
                        nonlocal done
                        follow(words, done / total)
                        done += 1

                    with loaded.closing():
                        fewest = max(self._fewest, FEWEST_CALLS)
                        entries = measure_back_to_back(
                            loaded, self._batches, seconds=self._seconds, fewest=fewest, on_turn=advance
                        )
                        found += entries
                        if pace is not None:
                            follow(f"{words}, paced", done / total)
                            found += [
                                measure_paced(loaded, pace, seconds=self._seconds, batch=batch)
                                for batch in self._batches
                            ]
                        if source is not None and target.bundle is not None:
                            follow(f"{words}, pipeline", done / total)
                            found.append(measure_source(loaded, target.bundle, source, seconds=self._seconds))
                        if clips is not None:
                            follow(f"{words}, accuracy", done / total)
                            single = next((entry for entry in entries if entry.batch == 1), entries[0])
                            median = sorted(single.samples_ms)[len(single.samples_ms) // 2] / single.batch
                            accuracies.append(accuracy_of(loaded, clips, median))
                        name = loaded.runner.precision
                    if operators:
                        kinds += operator_times(target, name, count)
        return self._report(found, operators=kinds, accuracies=mark_front(accuracies))

    def compare(self, noise: float) -> Report:
        """Time two targets in turns."""
        from mmn_edge.latency.comparison import compare
        from mmn_edge.runtime.timing.interleaved import measure_interleaved

        if len(self._targets) != 2:
            raise UsageError(
                f"--compare takes two targets, and these are {len(self._targets)}: name A and B, such as "
                "model.bundle:fp32 model.bundle:int8"
            )
        if len(self._threads) != 1:
            raise UsageError("--compare takes one thread count: give --threads 1")
        with terminal.following("loading") as follow:
            rounds, names = measure_interleaved(
                *self._targets,
                seconds=self._seconds,
                threads=self._threads[0],
                batch=self._batches[0],
                on_note=functools.partial(click.echo, err=True),
                on_round=lambda share: follow("A B B A", share),
            )
        scopes = (self._targets[0].scope, self._targets[1].scope)
        found = compare(*rounds, names=names, scopes=scopes, noise=noise)
        return self._report([], comparison=found)

    def _report(
        self,
        measurements: Sequence[Measurement],
        *,
        operators: Sequence[Operator] = (),
        accuracies: Sequence[Accuracy] = (),
        comparison: Comparison | None = None,
    ) -> Report:
        from mmn_edge.runtime.timing.memory import gpu_mebibytes, peak_mebibytes

        memory = {"peak resident, whole process": peak_mebibytes(), "GPU, this process": gpu_mebibytes()}
        notes = []
        if measurements and all(entry.energy is None for entry in measurements):
            notes.append(power.why_unreadable())
        if memory["GPU, this process"] is None:
            notes.append("GPU memory was not read: there is no nvidia-smi that lists this process")
        if any(entry.backend.startswith("tensorrt") for entry in measurements):
            notes.append("an engine's calls are timed from outside: its copies and layers are not timed one by one")
        return Report(
            created=self._created,
            machine=machine.describe() | jetson.facts(),
            before=self._before,
            after=Conditions.read(),
            measurements=measurements,
            operators=operators,
            accuracies=accuracies,
            memory={name: round(size, 1) for name, size in memory.items() if size is not None},
            comparison=comparison,
            notes=notes,
        )


def _targets(names: Sequence[str], backend: str | None, precision: str | None) -> list[Target]:
    """What to time: every target with every backend and precision."""
    from mmn_edge.bundle.bundle import Bundle
    from mmn_edge.runtime.timing.targets import Target, check_backend, of_engine, split_precision
    from mmn_edge.system.contents import contents

    backends: list[str | None] = [*backend.split(",")] if backend else [None]
    for name in backends:
        check_backend(name)
    found = []
    for text in names or [str(find_bundle(None))]:
        path, own = split_precision(text)
        if path.suffix == ".engine" and path.is_file():
            found.append(of_engine(path))
            continue
        if path.is_file() and contents(path) == "ONNX model":
            found += [Target(text, None, path, name) for name in backends]
            continue
        path = find_bundle(path)
        wanted: list[str | None] = [*precision.split(",")] if precision else [None]
        if own is not None:
            wanted = [own]
        elif precision == "all":
            wanted = [*Bundle.open(path).manifest.models]
        for name in backends:
            for entry in wanted:
                bundle, chosen = engines.ready(path, name, entry)
                if chosen is not None:
                    bundle.model(chosen)  # a precision that is not there is said before anything is measured
                found.append(Target(text, bundle, None, name, chosen))
    return found


def _clips(data: Path | None, split: str | None) -> EvaluationSet | None:
    if data is None:
        if split is not None:
            raise UsageError("--split is of --data CLIPS: give both")
        return None
    from mmn_edge.evaluation import testset

    clips = testset.read(data, split if split is not None else testset.default_split(data))
    terminal.warn(clips.findings, data)
    return clips


def _write(report: Report, outputs: Sequence[Path]) -> None:
    from mmn_edge.latency.page import page

    _save(outputs, lambda: json.dumps(report.to_dict(), indent=1) + "\n", lambda: page(report).html())


def _save(outputs: Sequence[Path], as_json: Callable[[], str], as_html: Callable[[], str]) -> None:
    from mmn_edge.system.files import atomic_file

    for output in outputs:
        text = as_html() if output.suffix.lower() == ".html" else as_json()
        with atomic_file(output) as file:
            file.write_text(text, encoding="utf-8")
        click.echo(f"wrote {output}", err=True)


def _merge(paths: Sequence[Path], outputs: Sequence[Path], as_json: bool) -> None:
    """One table of several reports."""
    from mmn_edge.latency.page import boards_page

    if len(paths) < 2:
        raise UsageError("merge takes two or more reports: mmn-edge profile merge orin.json nano.json")
    reports = [read_measurements(path) for path in paths]
    header, rows = tables.boards(reports)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    _save(outputs, lambda: json.dumps(table, indent=1) + "\n", lambda: boards_page(reports).html())
    if as_json:
        click.echo(json.dumps(table, indent=1))
        return
    terminal.show(header, rows, words=3)
    for report in reports:
        for warning in report.warnings:
            click.echo(terminal.paragraph(f"{report.path}: {warning}"), err=True)


def _print(report: Report, earlier: Earlier | None) -> None:
    """The summary, on standard output."""
    say = click.echo
    for name, fact in report.machine.items():
        say(terminal.paragraph(f"{name:15} {fact}"))
    for title, entries in tables.groups(report.measurements):
        say()
        say(terminal.paragraph(title))
        say(terminal.paragraph(f"what is timed: {entries[0].scope}"))
        first = entries[0]
        say(terminal.paragraph(f"load {first.load_ms:.0f} ms, first call {first.first_call_ms:.1f} ms"))
        if any(entry.turns for entry in entries):
            terminal.show(*tables.latencies(entries), words=0)
        if any(entry.pace for entry in entries):
            terminal.show(*tables.paced(entries), words=0, title="at a frame rate, asleep between")
        for entry in entries:
            if entry.stages_ms:
                terminal.show(*tables.stages(entry), words=1)
            if entry.energy is not None:
                facts = entry.energy.to_dict()
                say(
                    f"batch {entry.batch}: {facts['watts']:.1f} W, {facts['joules_per_window']:.3f} J a window "
                    f"({facts['source']})"
                )
    if report.accuracies:
        data = report.accuracies[0]
        say()
        terminal.show(
            *tables.accuracies(report.accuracies), words=2, title=f"accuracy on {data.clips} clips of {data.data}"
        )
    if report.comparison is not None:
        found = report.comparison
        say()
        for letter, name, ms, scope in zip(
            "AB", (found.a, found.b), (found.a_ms, found.b_ms), found.scopes, strict=True
        ):
            say(terminal.paragraph(f"{letter}: {name}, p50 {ms:.3g} ms"))
            say(terminal.paragraph(f"what is timed: {scope}", indent="   "))
        terminal.show(*tables.comparison(found), words=1)
        say(terminal.paragraph(f"{found.verdict} ({found.rounds} rounds, {found.calls} calls each)"))
    for title, table in tables.operators(report.operators):
        say()
        terminal.show(*table, words=1, title=title)
    say()
    for name, size in report.memory.items():
        say(f"memory: {name}: {size:.0f} MiB")
    if earlier is not None:
        say(terminal.paragraph(f"baseline: {earlier.path}, {earlier.machine.get('processor', 'another machine')}"))
    for note in report.notes:
        say(terminal.paragraph(f"note: {note}"))
    for warning in report.warnings:
        say(terminal.paragraph(f"WARNING: {warning}"))
