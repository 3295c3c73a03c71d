from __future__ import annotations

import inspect

import pytest

from mmn_edge import errors

CODES = {
    "MmnEdgeError": 1,
    "UsageError": 2,
    "DataError": 3,
    "LayoutError": 3,
    "CheckpointError": 4,
    "BundleError": 5,
    "MissingDependencyError": 6,
    "SourceError": 7,
    "TruncatedError": 7,
    "VerificationError": 8,
    "EngineError": 9,
    "GateError": 10,
}


def test_all_names_exactly_the_classes_defined() -> None:
    defined = [name for name, value in vars(errors).items() if inspect.isclass(value)]
    assert sorted(errors.__all__) == sorted(defined) == sorted(CODES)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_every_kind_derives_from_the_base_and_leaves_with_its_documented_code(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.MmnEdgeError)
    assert kind.exit_code == code


def test_codes_are_shared_where_kinds_are() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name not in ("LayoutError", "TruncatedError")]
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert issubclass(errors.LayoutError, errors.DataError)
    assert issubclass(errors.EngineError, errors.BundleError)
    assert issubclass(errors.TruncatedError, errors.DataError)
    assert errors.TruncatedError.exit_code == errors.SourceError.exit_code
