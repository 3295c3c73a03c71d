"""One exception tree: what went wrong, where, and what to do about it.

Every error that a user can cause derives from :class:`MmnEdgeError`. The command line prints its message as one
sentence without a traceback and leaves with the exit code of its kind; anything else is a bug and keeps
its traceback.
"""

from __future__ import annotations

__all__ = [
    "BundleError",
    "CheckpointError",
    "DataError",
    "EngineError",
    "GateError",
    "LayoutError",
    "MissingDependencyError",
    "MmnEdgeError",
    "SourceError",
    "TruncatedError",
    "UsageError",
    "VerificationError",
]

INTERRUPTED = 130
"""What the command line leaves with after Ctrl-C: 128 + SIGINT, what shells expect."""


class MmnEdgeError(Exception):
    """Base of every error raised on purpose; ``exit_code`` is what the command line leaves with."""

    exit_code = 1


class UsageError(MmnEdgeError):
    """The request itself makes no sense: an unknown preset, an option that does not apply."""

    exit_code = 2


class DataError(MmnEdgeError):
    """Data that cannot be used: a broken recording or data set, NaN keypoints, a refused pickle."""

    exit_code = 3


class TruncatedError(DataError):
    """Data that was good until it ended in the middle of something; what came before can be used."""

    exit_code = 7


class LayoutError(DataError):
    """A skeleton layout that is unknown, or that does not fit the model it is fed to."""


class CheckpointError(MmnEdgeError):
    """A checkpoint that cannot be read, or that is not the network it is said to be."""

    exit_code = 4


class BundleError(MmnEdgeError):
    """A model bundle that is missing, damaged, or of another schema version."""

    exit_code = 5


class MissingDependencyError(MmnEdgeError):
    """An optional package that is not installed; the message holds the command that installs it."""

    exit_code = 6


class SourceError(MmnEdgeError):
    """A camera, video or stream that cannot be opened, or that fails while it is read."""

    exit_code = 7


class VerificationError(MmnEdgeError):
    """A converted model whose outputs differ from the original's by more than allowed."""

    exit_code = 8


class GateError(MmnEdgeError):
    """A gate or check that was asked for has failed: nothing is broken, but the answer is no."""

    exit_code = 10


class EngineError(BundleError):
    """A TensorRT engine that cannot be built, is missing, or does not fit this machine."""

    exit_code = 9
