"""What is odd about the numbers of clips: frames, axes, units, joints that cannot have been seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmn_edge.datasets.facts import ClipFacts
from mmn_edge.datasets.findings import Finding, counted, grouped
from mmn_edge.system.words import some

__all__ = ["frame_findings", "identity_findings", "placeholder_labels", "value_findings"]

ZEROS = 0.01
"""Share of joints at the origin or at -1 -1 from which on it is said that they are taken for not seen."""

WILD = 20.0
"""How many times the usual extent a clip must have to be pointed out."""

FLOATING = 1.0
"""Widths of the body between hand and wrist, in the median of the clips; the ISL recordings have 0.1, their worst clip
0.55."""

UPRIGHT = 60.0
"""Degrees by which a body may lean. Of JHMDB's 609 clips 6 show somebody who lies or leans by more."""

LYING = 0.02
"""Share of the clips from which on bodies that lie are pointed out."""

PLACEHOLDERS = 10
"""Clips of one split that share one label before it is taken for a placeholder."""


def frame_findings(facts: Sequence[ClipFacts]) -> list[Finding]:
    """Clips that are longer or shorter than they say, or have their axes in another order."""
    swapped: list[ClipFacts] = []
    padded: list[ClipFacts] = []
    beyond: list[ClipFacts] = []
    fewer: list[ClipFacts] = []
    for fact in facts:
        said, stored = fact.entry.frames, fact.entry.stored
        if said is None or stored is None or len(stored) != 4:
            continue
        if stored[1] < said == stored[0]:
            swapped.append(fact)
        elif stored[1] > said:
            (padded if fact.entry.empty_padding else beyond).append(fact)
        elif stored[1] < said:
            fewer.append(fact)
    found = []
    for chosen, what in (
        (
            swapped,
            'probably with axes in another order, for "total_frames" counts the first one: keypoint must be '
            "(M, T, V, C), persons first",
        ),
        (beyond, 'with more frames than "total_frames" says: those beyond it are taken for padding and not used'),
        (
            padded,
            'with more frames than "total_frames" says: in those beyond it all joints lie at exactly the origin; they '
            "are padding and not used",
        ),
        (fewer, 'with fewer frames than "total_frames" says'),
    ):
        if chosen:
            entry = chosen[0].entry
            detail = f' (keypoint {entry.stored}, "total_frames" {entry.frames})'
            found += counted([fact.entry.name for fact in chosen], what, detail)
    return found


def identity_findings(facts: Sequence[ClipFacts]) -> list[Finding]:
    """Clips that may not be of one person."""
    found = [*grouped((fact.entry.name, f"clip {fact.entry.name}: {note}") for fact in facts for note in fact.notes)]
    torn = [fact for fact in facts if fact.jumps]
    if torn:
        detail = f" (at frame {torn[0].jumps[0]}, {_times(len(torn[0].jumps))} in all)"
        what = "in which the body jumps to another place: another person's skeleton, or a cut"
        found += counted([fact.entry.name for fact in torn], what, detail)
    return found


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def placeholder_labels(facts: Sequence[ClipFacts], split: str | None) -> list[Finding]:
    """A split to measure on whose clips all have one label."""
    labels = {fact.label for fact in facts}
    if len(facts) < PLACEHOLDERS or len(labels) > 1:
        return []
    where = f"of split {split} " if split else ""
    return [
        Finding(
            f"all {len(facts)} clips {where}have label {labels.pop()}: if that is a placeholder for labels that were "
            "withheld, an accuracy on them means nothing",
            tuple(fact.entry.name for fact in facts),
        )
    ]


def _posture_findings(facts: Sequence[ClipFacts]) -> list[Finding]:
    """Bodies that are not upright, and joints whose place stands for something else."""
    found = []
    lying = [fact for fact in facts if fact.turned is not None and fact.turned > UPRIGHT]
    if lying and len(lying) >= LYING * len(facts):
        angle = float(np.median([fact.turned for fact in lying]))
        how = "stands on its head" if angle > 180 - UPRIGHT else "lies on its side"
        why = "was the video read turned, or does y point up" if angle > 180 - UPRIGHT else "was the video read turned"
        what = f"in which the body {how}, turned by {angle:.0f} degrees in the median: {why}"
        found += counted([fact.entry.name for fact in lying], what)
    crowded = [fact for fact in facts if fact.crowd is not None]
    if crowded and (crowd := crowded[0].crowd):
        count, place = crowd
        where = f" ({count} times at {', '.join(f'{value:g}' for value in place)})"
        what = (
            "with many joints at exactly one place: probably what stands for a joint that was not seen, which must be "
            "NaN or have score 0"
        )
        found += counted([fact.entry.name for fact in crowded], what, where)
    return found


def value_findings(facts: Sequence[ClipFacts], missing: Mapping[str, float]) -> list[Finding]:
    """What is odd about coordinates, the gravest first.

    Args:
        facts: Clips of one (V, C).
        missing: By joint the share of frames in which it was not seen.
    """
    if not facts:
        return []
    found = []
    floating = [fact.floating for fact in facts if fact.floating is not None]
    if floating and float(np.median(floating)) > FLOATING:
        found.append(
            Finding(
                f"the hands lie {np.median(floating):.1f} widths of the body away from the wrists: hands and body are "
                "probably in different units (pixels, fractions of the image, metres)"
            )
        )
    zeros = sum(fact.zeros for fact in facts) / sum(fact.shape[0] * fact.shape[1] for fact in facts)
    if zeros > ZEROS:
        found.append(
            Finding(
                f"{zeros:.1%} of the joints lie at exactly the origin or at -1 -1, which estimators write for joints "
                "that they did not find: they are taken for not seen"
            )
        )
    found += _posture_findings(facts)
    low, high = np.min([fact.low for fact in facts], axis=0), np.max([fact.high for fact in facts], axis=0)
    if len(low) == 3 and low[2] >= 0 and high[2] <= 1 and max(high[:2]) > 20:
        found.append(Finding("the third coordinate is within 0..1 and the others are pixels: it is probably a score"))
    usual = float(np.median([fact.extent for fact in facts]))
    wild = [fact.entry.name for fact in facts if fact.extent > WILD * usual]
    found += counted(wild, f"more than {WILD:g} times as large as usual", ": look for stray coordinates")
    never = [name for name, share in missing.items() if share == 1]
    if never:
        found.append(
            Finding(f"{len(never)} {'joint' if len(never) == 1 else 'joints'} never seen in any clip: {some(never)}")
        )
    still = [fact.entry.name for fact in facts if fact.shape[0] > 1 and fact.motion == 0]
    found += counted(still, "without any motion")
    sparse = [fact.entry.name for fact in facts if fact.missing.sum() > 0.5 * fact.shape[0] * fact.shape[1]]
    return found + counted(sparse, "with more than half of the joints missing")
