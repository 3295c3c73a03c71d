from mmn_edge.runtime.timing.profiler import percentiles


def test_percentiles() -> None:
    assert percentiles(list(range(101))) == (50, 90, 99)
