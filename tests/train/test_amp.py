import pytest
import torch

from mmn_edge.train import amp
from mmn_edge.train.amp import fast_dtype, training_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_named_precision_is_used_whatever_the_processor(name: str, dtype: torch.dtype) -> None:
    assert training_dtype(name, CPU) == dtype


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_only_where_the_processor_computes_in_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amp, "computes_bfloat16", lambda: native)
    assert training_dtype("auto", CPU) == fast_dtype(CPU) == (torch.bfloat16 if native else torch.float32)


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="this PyTorch does not tell")
def test_pytorch_agrees_about_this_processor() -> None:
    known = torch.cpu.get_capabilities()
    native = any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert fast_dtype(CPU) == (torch.bfloat16 if native else torch.float32)
