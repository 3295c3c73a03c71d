"""Optional packages: import one, or say in one sentence what is missing and how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from mmn_edge.errors import MissingDependencyError

__all__ = ["require"]


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` and return it.

    Args:
        module: The import name, such as ``"torch"``.
        extra: The extra of mmn-edge that brings it, such as ``"convert"``.
        purpose: What needs it, as the subject of a sentence: ``"Converting a checkpoint"``.

    Raises:
        MissingDependencyError: The package, or a package that it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        reason = "is not installed" if absent else f"cannot be imported ({error})"
        raise MissingDependencyError(
            f'{purpose} needs {module}, which {reason}: install it with: pip install "mmn-edge[{extra}]"'
        ) from error
