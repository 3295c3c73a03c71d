"""ELAN's ``.eaf`` (EAF 2.8 to 3.0: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf).

Written is one tier for each person and class, ``person/label``: annotations of one tier cannot overlap. Times are whole
milliseconds.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse
from xml.parsers import expat

from mmn_edge.errors import DataError
from mmn_edge.events.formats.options import Reading, Writing, milliseconds, tier_label, tier_name
from mmn_edge.events.formats.text import placed, read_bytes
from mmn_edge.events.interval import AnnotationSet, Interval
from mmn_edge.system.extras import require
from mmn_edge.system.files import atomic_file

__all__ = ["read_elan", "write_elan"]

ROOT = "ANNOTATION_DOCUMENT"
IDENTITIES = {"ANNOTATION_ID", "TIER_ID", "TIME_SLOT_ID"}
DEPTH = 32

MAX_XML = 64 * 2**20
"""Bytes: a tree of elements takes some ten times as much memory."""

Span = tuple[int, int]


def read_elan(path: Path, options: Reading) -> AnnotationSet:
    """Read the annotations of one recording.

    The recording is called as the video that the file is linked to, or else as the file. An annotation that refers to
    another has its time; several that follow one another under one share it evenly.

    Raises:
        DataError: It is no ELAN file, or its annotations overlap, refer to nothing, or have no time.
        MissingDependencyError: ``pympi-ling`` is not installed.
    """
    pympi = require("pympi", extra="annotations", purpose="Reading ELAN's files")
    _check_xml(path, read_bytes(path, MAX_XML))
    try:
        document = pympi.Elan.Eaf(str(path), suppress_version_warning=True)
    except Exception as error:
        raise DataError(f"{path} is no ELAN file that can be read ({error!r})") from None
    recording = _recording(document.media_descriptors, path)
    times = _Times(path, document)
    intervals, notes = [], []
    for tier, (aligned, referring, attributes, _) in document.tiers.items():
        if not options.wants(tier):
            continue
        found = []
        for annotation, (_, value, *_) in referring.items():
            found.append((times.span(annotation), value, annotation))
        for annotation, (_, _, value, _) in aligned.items():
            found.append((times.span(annotation), value, annotation))
        found.sort(key=lambda entry: entry[0])
        if not found:
            notes.append(f"{path}: tier {tier!r} is empty")
        for (before, _, first), (after, _, second) in pairwise(found):
            if after[0] < before[1]:
                raise DataError(
                    f"{path}: annotations {first} and {second} of tier {tier!r} overlap at {after[0] / 1000:g} s, and "
                    "a tier holds one thing at a time: repair it in ELAN"
                )
        for (start, end), value, annotation in found:
            label, person = tier_label(tier.strip(), " ".join(value.split()), options)
            with placed(f"{path}: tier {tier!r}, annotation {annotation}"):
                intervals.append(
                    Interval(
                        recording,
                        start / 1000,
                        end / 1000,
                        label,
                        (attributes.get("PARTICIPANT") or "").strip() or person,
                        annotator=(attributes.get("ANNOTATOR") or "").strip(),
                    )
                )
    if any((entry.get("TIME_ORIGIN") or "0") != "0" for entry in document.media_descriptors):
        notes.append(f"{path}: a video is linked with an offset; times were taken as they stand in the file")
    if options.tiers and not any(map(options.wants, document.tiers)):
        raise DataError(
            f"{path} has no tier {' or '.join(options.tiers)}: it has {', '.join(document.tiers) or 'none'}"
        )
    empty = frozenset() if intervals else frozenset({recording})
    return AnnotationSet(tuple(intervals), empty=empty, notes=tuple(notes))


def write_elan(path: Path, annotations: AnnotationSet, options: Writing) -> None:
    """Write the annotations of one recording, whole or not at all.

    Raises:
        MissingDependencyError: ``pympi-ling`` is not installed.
    """
    pympi = require("pympi", extra="annotations", purpose="Writing ELAN's files")
    document = pympi.Elan.Eaf(author="mmn-edge")
    if options.media is not None:
        media = options.media.resolve()
        kind = mimetypes.guess_type(media.name)[0] or "video/unknown"
        relative = PurePath(os.path.relpath(media, path.resolve().parent)).as_posix()
        relative = relative if relative.startswith("../") else f"./{relative}"
        document.add_linked_file(media.as_uri(), relpath=relative, mimetype=kind)
    ends: dict[str, int] = {}
    owners: dict[str, tuple[str, str, str]] = {}
    for entry in annotations.intervals:
        start, end = milliseconds(entry)
        owner = (entry.person, entry.label, entry.annotator)
        base = name = tier_name(entry.person, entry.label)
        number = 1
        while name in owners and (owners[name] != owner or ends[name] > start):
            number += 1
            name = f"{base} ({number})"
        if name not in owners:
            owners[name] = owner
            document.add_tier(name, part=entry.person or None, ann=entry.annotator or None)
        ends[name] = end
        document.add_annotation(name, start, end, entry.label)
    if owners:
        document.remove_tier("default")
    with atomic_file(path) as partial:
        partial.write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n' + pympi.Elan.to_string(document) + "\n", encoding="utf-8"
        )


class _Times:
    """From when to when annotations are, whose time is their own or that of what they refer to."""

    def __init__(self, path: Path, document: Any) -> None:
        self._path = path
        self._slots: Mapping[str, int | None] = document.timeslots
        self._own: dict[str, tuple[str, str]] = {}
        self._parent: dict[str, str] = {}
        self._spans: dict[str, Span] = {}
        self._siblings: dict[tuple[str, str], list[str]] = {}
        # Which annotation of its tier ends and begins where an annotation begins and ends.
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}
        for tier, (aligned, referring, _, _) in document.tiers.items():
            ending = {end: annotation for annotation, (_, end, *_) in aligned.items()}
            for annotation, (start, end, *_) in aligned.items():
                self._own[annotation] = (start, end)
                if start in ending and ending[start] != annotation:
                    self._before[annotation] = ending[start]
                    self._after[ending[start]] = annotation
            for annotation, (parent, _, previous, _) in referring.items():
                self._parent[annotation] = parent
                siblings = self._siblings.setdefault((tier, parent), [])
                if siblings and previous != siblings[-1]:
                    raise DataError(
                        f"{path}: annotations {siblings[-1]} and {annotation} of tier {tier!r} both refer to {parent} "
                        "and overlap: repair it in ELAN"
                    )
                siblings.append(annotation)
        self._place = {name: (group, at) for group in self._siblings.values() for at, name in enumerate(group)}

    def span(self, annotation: str) -> Span:
        """Milliseconds.

        Raises:
            DataError: It has none.
        """
        chain = [annotation]
        while chain[-1] in self._parent and chain[-1] not in self._spans:
            parent = self._parent[chain[-1]]
            if parent in chain:
                raise DataError(f"{self._path}: annotation {annotation} refers to itself by way of {parent}")
            chain.append(parent)
        span = self._spans.get(chain[-1]) or self._aligned(chain[-1], annotation)
        for name in reversed(chain):
            if name in self._parent and name not in self._spans:
                group, at = self._place[name]
                length = span[1] - span[0]
                span = (span[0] + length * at // len(group), span[0] + length * (at + 1) // len(group))
            self._spans[name] = span
        return span

    def _aligned(self, name: str, asked: str) -> Span:
        if name not in self._own:
            raise DataError(f"{self._path}: annotation {asked} refers to {name}, which is not there")
        # Annotations without times of their own share evenly what lies between known times, as ELAN shows them.
        chain, at = [name], 0
        while self._slot(chain[0], 0) is None and self._before.get(chain[0]) not in (None, *chain):
            chain.insert(0, self._before[chain[0]])
            at += 1
        while self._slot(chain[-1], 1) is None and self._after.get(chain[-1]) not in (None, *chain):
            chain.append(self._after[chain[-1]])
        start, end = self._slot(chain[0], 0), self._slot(chain[-1], 1)
        if start is None or end is None:
            raise DataError(f"{self._path}: annotation {name} has no time of its own: align it in ELAN")
        length = end - start
        return start + length * at // len(chain), start + length * (at + 1) // len(chain)

    def _slot(self, name: str, side: int) -> int | None:
        """The time at which an annotation begins or ends, where it has one."""
        slot = self._own[name][side]
        if slot not in self._slots:
            raise DataError(f"{self._path}: annotation {name} refers to the time {slot}, which is not there")
        return self._slots[slot]


def _recording(media: list[Mapping[str, str]], path: Path) -> str:
    """The name of the one linked video, else that of the file."""
    urls = (entry.get("RELATIVE_MEDIA_URL") or entry.get("MEDIA_URL") or "" for entry in media)
    names = {PurePosixPath(unquote(urlparse(url).path)).stem for url in urls} - {""}
    return names.pop() if len(names) == 1 else path.stem


def _check_xml(path: Path, data: bytes) -> None:
    """Refuse XML that is broken, defines entities, or is no ELAN document.

    Raises:
        DataError: It does.
    """
    seen: set[tuple[str, str]] = set()
    depth = 0
    parser = expat.ParserCreate()

    def doctype(*_: object) -> None:
        raise DataError(f"{path} brings a document type of its own, which ELAN's files never do: it was not read")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        if not depth and name != ROOT:
            raise DataError(f"{path} is no ELAN file: it begins with <{name[:40]}> and not <{ROOT}>")
        depth += 1
        if depth > DEPTH:
            raise DataError(f"{path} is no ELAN file: its elements are nested more than {DEPTH} deep")
        for key in IDENTITIES & attributes.keys():
            identity = (key, attributes[key])
            if identity in seen:
                raise DataError(f"{path} is broken: {key} {attributes[key]!r} is there twice")
            seen.add(identity)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise DataError(f"{path} is no XML ({error})") from None
    except (LookupError, ValueError) as error:
        raise DataError(f"{path} is in an encoding that cannot be read ({error})") from None
