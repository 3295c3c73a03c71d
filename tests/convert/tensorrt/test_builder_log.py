from __future__ import annotations

import os
import signal
import threading

import pytest

from mmn_edge.convert.tensorrt.builder_log import BuilderLog, Cancellation, Phases, cancellable


def test_the_log_keeps_what_matters() -> None:
    log = BuilderLog()
    for severity, message in [
        ("VERBOSE", "Parsing node: head/Gemm"),
        ("INFO", "Total Weights Memory: 3096 bytes"),
        ("VERBOSE", "Layers:\nName: x"),
        ("WARNING", "slow"),
        ("ERROR", "a"),
        ("INTERNAL_ERROR", "b"),
    ]:
        log.add(severity, message)
    assert log.errors == ["a", "b"]
    assert log.kernels == ["Layers:\nName: x"]
    assert log.text() == ("[INFO] Total Weights Memory: 3096 bytes\n[WARNING] slow\n[ERROR] a\n[INTERNAL_ERROR] b\n")


def test_phases_within_phases_are_one_share() -> None:
    seen: list[tuple[float, str]] = []
    phases = Phases(lambda share, name: seen.append((round(share, 3), name)))
    phases.start("build", None, 4)
    phases.step("build", 1)
    phases.start("optimize", "build", 2)
    phases.step("optimize", 1)
    phases.start("time", "optimize", 10)
    phases.step("time", 5)
    phases.finish("time")
    phases.finish("optimize")
    phases.step("build", 2)
    phases.step("build", 9)
    phases.step("a phase that never began", 1)
    phases.finish("another one")
    shares = [share for share, _ in seen]
    assert shares == [0, 0.25, 0.25, 0.375, 0.375, 0.438, 0.5, 1]
    assert [name for _, name in seen][2:6] == ["optimize", "optimize", "time", "time"]


def test_the_share_never_goes_back() -> None:
    seen: list[float] = []
    phases = Phases(lambda share, name: seen.append(share))
    phases.start("build", None, 2)
    phases.start("first", "build", 1)
    phases.step("first", 1)
    phases.start("second", "build", 100)  # a sibling, begun before the step was told
    phases.step("second", 1)
    assert seen == sorted(seen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_flag_inside_and_an_interrupt_afterwards(number: signal.Signals) -> None:
    before, seen = signal.getsignal(number), []

    def work() -> None:
        with cancellable() as cancellation:
            seen.append(cancellation.asked)
            os.kill(os.getpid(), number)
            seen.append(cancellation.asked)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == [False, True]
    assert signal.getsignal(number) is before


def test_handlers_come_back_after_an_error_and_an_error_of_a_callback_is_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="build"), cancellable():
        raise ValueError("build")
    with pytest.raises(ZeroDivisionError), cancellable() as cancellation:
        cancellation.fail(ZeroDivisionError())
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_leaves_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with cancellable() as cancellation:
            seen.append((type(cancellation), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(Cancellation, before)]
