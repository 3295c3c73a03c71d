import threading
import time

import pytest

from mmn_edge.runtime.handover import Handover


def test_what_is_given_is_taken_in_order_and_the_giver_waits() -> None:
    handed = Handover[int](2)

    def give() -> None:
        for number in range(50):
            assert handed.put(number)
        handed.end()

    giver = threading.Thread(target=give)
    giver.start()
    taken = []
    while (number := handed.take()) is not None:
        taken.append(number)
    giver.join()
    assert taken == list(range(50))
    assert handed.ended
    assert handed.dropped == 0


def test_the_newest_wins_and_what_gives_way_is_counted() -> None:
    handed = Handover[int](1, newest=True)
    for number in range(5):
        assert handed.put(number)
    assert handed.take() == 4
    assert handed.dropped == 4


def test_an_error_is_raised_after_the_last_item() -> None:
    handed = Handover[int](2)
    handed.put(1)
    handed.end(ValueError("broken"))
    assert not handed.ended
    assert handed.take() == 1
    with pytest.raises(ValueError, match="broken"):
        handed.take()


def test_taking_gives_up_after_its_time() -> None:
    began = time.monotonic()
    handed = Handover[int]()
    assert handed.take(0.05) is None
    assert not handed.ended
    assert time.monotonic() - began >= 0.05


def test_a_giver_that_waits_goes_on_when_the_taker_leaves() -> None:
    handed = Handover[int](1)
    handed.put(1)
    answers: list[bool] = []
    giver = threading.Thread(target=lambda: answers.append(handed.put(2)))
    giver.start()
    handed.leave()
    giver.join(5)
    assert answers == [False]
    assert not handed.put(3)
