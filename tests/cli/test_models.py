from pathlib import Path

import pytest

from mmn_edge.cli.models import model_sources
from mmn_edge.errors import BundleError, UsageError


def test_checkpoints_and_bundles(small_checkpoint: Path, small_bundle: Path) -> None:
    found = model_sources(
        [str(small_checkpoint), str(small_bundle), f"{small_bundle}:fp32", str(small_bundle / "manifest.json")]
    )
    assert [source.path for source in found] == [small_checkpoint, small_bundle, small_bundle, small_bundle]
    assert [source.bundle is None for source in found] == [True, False, False, False]
    assert {source.precision for source in found} == {"fp32"}


def test_a_path_with_a_colon_is_a_path(small_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "run:3.pt"
    path.write_bytes(small_checkpoint.read_bytes())
    assert model_sources([str(path)])[0].path == path


def test_streams_go_to_the_checkpoints_in_order(small_checkpoint: Path, small_bundle: Path) -> None:
    models = [str(small_checkpoint), str(small_bundle), str(small_checkpoint)]
    assert [s.stream for s in model_sources(models, streams=["joint", "bone"])] == ["joint", None, "bone"]
    assert [s.stream for s in model_sources(models, streams=["bone"])] == ["bone", None, "bone"]
    assert [s.stream for s in model_sources(models)] == [None, None, None]
    with pytest.raises(UsageError, match="given 3 times for 2 checkpoints"):
        model_sources(models, streams=["joint"] * 3)


def test_what_is_not_there(small_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.pt does not exist"):
        model_sources([str(tmp_path / "none.pt")])
    with pytest.raises(BundleError, match="holds no int8 model"):
        model_sources([str(small_bundle)], precision="int8")
