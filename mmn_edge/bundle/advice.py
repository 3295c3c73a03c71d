"""Which precision to run on a machine: the fastest that stays within its limits, from figures and with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mmn_edge.errors import VerificationError

__all__ = ["MARGIN", "Advice", "Candidate", "advise"]

HARDWARE = ("machine", "processor", "cores", "jetson")
"""The facts of a machine that decide which precision is fastest there."""

MARGIN = 0.05
"""By how much a less exact precision must be faster to be worth it; medians of one model differ by less."""


@dataclass(frozen=True)
class Candidate:
    """What was measured of one precision, and what follows.

    Attributes:
        precision: The bundle's model.
        backend: What ran it.
        p50_ms: Median milliseconds of a call with one window.
        p90_ms: 90th percentile.
        runs: Timed calls.
        agreement: Fraction of windows with the reference's class.
        max_probability_difference: From the reference, of all windows and classes; None where it is not finite.
        lost: Fraction of top-1 lost against the reference; None without labels.
        broken: Limits that it goes beyond, in words.
        verdict: Chosen or refused, and why.
    """

    precision: str
    backend: str
    p50_ms: float
    p90_ms: float
    runs: int
    agreement: float
    max_probability_difference: float | None
    lost: float | None
    broken: tuple[str, ...]
    verdict: str = ""


@dataclass(frozen=True)
class Advice:
    """The choice, good for the machine that it was measured on.

    Attributes:
        precision: The chosen one.
        candidates: All that were measured, the most exact first.
        windows: What accuracy was measured on, in words.
        machine: From :mod:`mmn_edge.system.machine`.
    """

    precision: str
    candidates: tuple[Candidate, ...]
    windows: str
    machine: Mapping[str, str]

    def elsewhere(self, here: Mapping[str, str]) -> str | None:
        """One sentence where the advice was measured on another machine than this one; None on the same.

        Args:
            here: From :mod:`mmn_edge.system.machine`.
        """
        if all(self.machine.get(fact) == here.get(fact) for fact in HARDWARE):
            return None
        there, this = (" ".join(facts[fact] for fact in HARDWARE if facts.get(fact)) for facts in (self.machine, here))
        return (
            f"the advice to run {self.precision} was measured on another machine ({there or 'an unknown one'}; this is "
            f"{this or 'an unknown one'}): measure here with mmn-edge convert --precision auto, or name a --precision"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "precision": self.precision,
            "windows": self.windows,
            "machine": dict(self.machine),
            "candidates": [{**asdict(entry), "broken": list(entry.broken)} for entry in self.candidates],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Advice:
        """The inverse of :meth:`to_dict`; raises KeyError or TypeError for something else."""
        candidates = tuple(Candidate(**{**entry, "broken": tuple(entry["broken"])}) for entry in values["candidates"])
        machine = {name: fact for name, fact in dict(values["machine"]).items() if isinstance(fact, str)}
        return cls(values["precision"], candidates, values["windows"], machine)


def advise(candidates: Sequence[Candidate], *, windows: str, machine: Mapping[str, str]) -> Advice:
    """Choose the fastest candidate within its limits, and say of each why it is or is not the one.

    A less exact candidate is refused where it is not faster, by :data:`MARGIN`, than the best of the more exact ones.

    Args:
        candidates: The most exact first.
        windows: See :class:`Advice`.
        machine: See :class:`Advice`.

    Raises:
        VerificationError: None stays within its limits.
    """
    best: Candidate | None = None
    verdicts: dict[str, str] = {}
    for candidate in candidates:
        name = candidate.precision
        if candidate.broken:
            verdicts[name] = f"refused: {'; '.join(candidate.broken)}"
        elif best is not None and candidate.p50_ms > (1 - MARGIN) * best.p50_ms:
            verdicts[name] = (
                f"refused: {candidate.p50_ms:.2f} ms are not {100 * MARGIN:g} % less than the {best.p50_ms:.2f} ms of "
                f"{best.precision}, which is more exact"
            )
        else:
            if best is not None:
                times = best.p50_ms / candidate.p50_ms
                verdicts[best.precision] = f"slower: {name} is {times:.2f} times as fast and within its limits"
            best = candidate
    if best is None:
        words = "; ".join(f"{name} {verdict}" for name, verdict in verdicts.items())
        raise VerificationError(f"no precision stays within its limits on {windows}: {words}")
    verdicts[best.precision] = "chosen: the fastest within its limits"
    judged = tuple(replace(entry, verdict=verdicts[entry.precision]) for entry in candidates)
    return Advice(best.precision, judged, windows, machine)
