import pytest
import torch
from torch import nn

from mmn_edge.train.ema import MovingAverage


def test_weights_and_statistics_are_averaged_and_the_start_is_forgotten() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = MovingAverage(network, 0.9)
    for value in (100.0, *[1.0] * 300):
        with torch.no_grad():
            network[0].weight.fill_(value)
            network[1].running_mean.fill_(value)
            network[1].num_batches_tracked.fill_(7)
        average.update()
    assert average.module[0].weight.item() == pytest.approx(1.0, abs=1e-4)
    assert float(average.module[1].running_mean) == pytest.approx(1.0, abs=1e-4)
    assert int(average.module[1].num_batches_tracked) == 7
    assert average.module[0].weight.item() > 1.0  # an average, not a copy


def test_the_decay_rises_with_the_steps() -> None:
    """min(decay, (1 + n) / (10 + n)), and the first weights as they are: worked out by hand."""
    network = nn.Linear(1, 1, bias=False)
    average, expected = MovingAverage(network, 0.25), 0.0
    for value, keeps in ((3.0, 0.0), (7.0, 2 / 11), (2.0, 3 / 12), (5.0, 0.25), (-1.0, 0.25)):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update()
        expected = keeps * expected + (1 - keeps) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)
