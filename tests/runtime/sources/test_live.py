from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import MissingDependencyError, SourceError
from mmn_edge.runtime.sources import live
from mmn_edge.runtime.sources.devices import Shot
from mmn_edge.runtime.sources.images import Image, Orientation
from mmn_edge.runtime.sources.live import LiveImages

pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")


@pytest.fixture(autouse=True)
def brief_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(live, "LAST_WAIT", 0.1)
    monkeypatch.setattr(live, "LEAVING", 0.5)


class Scripted:
    """A device that does what its script says: a number is an image of that brightness, after 2 ms."""

    shown = "the device"

    def __init__(self, script: list[object]) -> None:
        self.script = script
        self.opened = False
        self.closed = 0
        self.interrupted = threading.Event()

    def open(self) -> None:
        self.opened = True
        if self.script and self.script[0] == "absent":
            self.script.pop(0)
            raise SourceError("cannot open the device")

    def read(self) -> Shot:
        assert self.opened
        time.sleep(0.002)
        step = self.script.pop(0) if self.script else "lost"
        if step == "lost":
            raise SourceError("the device has ended")
        if step == "hang":
            self.interrupted.wait(20)
            raise SourceError("the device was interrupted")
        if step == "deaf":
            threading.Event().wait(1.5)
            raise SourceError("the device came back")
        if step == "bug":
            raise ZeroDivisionError("a bug")
        if step == "again":
            return Shot(np.zeros((4, 4, 3), np.uint8), 0.0)
        return Shot(np.full((4, 4, 3), step, np.uint8), time.monotonic())

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed += 1


class Shelf:
    """Gives one scripted device after the other."""

    def __init__(self, *scripts: list[object]) -> None:
        self.scripts = list(scripts)
        self.made: list[Scripted] = []

    def __call__(self) -> Scripted:
        self.made.append(Scripted(self.scripts.pop(0) if self.scripts else ["absent"]))
        return self.made[-1]


def take(images: Iterator[Image], count: int) -> list[Image]:
    return [next(images) for _ in range(count)]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due
        time.sleep(0.005)


def test_the_newest_image_is_taken_and_the_others_are_counted() -> None:
    shelf = Shelf([*range(1, 9), "hang"])
    with LiveImages(shelf) as source:
        wait_for(lambda: not shelf.made[0].script)
        image = next(iter(source))
        assert image.pixels[0, 0, 0] == 8
        assert source.dropped == 7
        assert image.time == 0.0
        assert image.origin == "arrival"
        assert image.captured is not None
        assert image.capture_ms == pytest.approx((time.monotonic() - image.captured) * 1000, abs=200)
    assert shelf.made[0].closed == 1


def test_it_is_opened_again_and_connections_are_told_apart() -> None:
    notes: list[str] = []
    shelf = Shelf([10], ["absent"], ["absent"], [20, "hang"])
    with LiveImages(shelf, on_note=notes.append) as source:
        first, second = take(iter(source), 2)
        assert source.reconnects == 1
        assert source.note == "the device was lost and found again once"
    assert (first.connection, second.connection) == (0, 1)
    assert second.time > first.time
    assert len(notes) == 2
    assert notes[0].startswith("the device has ended. It is opened again")
    assert "is back after" in notes[1]
    assert "begin anew" in notes[1]
    assert [device.closed for device in shelf.made[:3]] == [1, 1, 1]


def test_a_device_that_comes_and_goes_is_not_told_of_each_time() -> None:
    notes: list[str] = []
    shelf = Shelf(*[[value] for value in range(1, 6)], [6, "hang"])
    with LiveImages(shelf, on_note=notes.append) as source:
        images = iter(source)
        while next(images).connection < 5:
            pass
    assert len(notes) == 2


def test_a_device_that_hangs_is_interrupted_and_opened_again() -> None:
    shelf = Shelf([1, "hang"], [2, "hang"])
    with LiveImages(shelf, silence=0.2) as source:
        first, second = take(iter(source), 2)
    assert (first.connection, second.connection) == (0, 1)
    assert shelf.made[0].interrupted.is_set()


def test_a_device_that_cannot_be_interrupted_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf([1, "deaf"], [2, "hang"])
    with LiveImages(shelf, silence=0.2) as source:
        assert [image.pixels[0, 0, 0] for image in take(iter(source), 2)] == [1, 2]
    monkeypatch.setattr(live, "MAX_STUCK", 2)
    began = time.monotonic()
    with (
        LiveImages(Shelf([1, "deaf"], [2, "deaf"], [3, "deaf"]), silence=0.1) as source,
        pytest.raises(SourceError, match="hangs, also when it is opened again"),
    ):
        list(source)
    assert time.monotonic() - began < 20


def test_a_slow_taker_is_no_silence() -> None:
    shelf = Shelf([*range(1, 100), "hang"])
    with LiveImages(shelf, silence=0.1) as source:
        images = iter(source)
        next(images)
        time.sleep(0.4)
        assert next(images).connection == 0
    assert len(shelf.made) == 1


def test_a_repeated_image_is_left_out() -> None:
    class Repeating(Scripted):
        def read(self) -> Shot:
            shot = super().read()
            return Shot(shot.bgr, 5.0 + int(shot.bgr[0, 0, 0]) // 2, "capture")

    script: list[object] = [2, 3, 4, 5, 6, 7, 8, "hang"]
    with LiveImages(lambda: Repeating(script)) as source:
        images, times = iter(source), [-1.0]
        while times[-1] < 3.0 and (script or times[-1] < 0):
            times.append(next(images).time)
    assert all(later > earlier for earlier, later in pairwise(times))


def test_what_is_absent_at_the_start_is_an_error_unless_it_is_waited_for() -> None:
    shelf = Shelf(["absent"])
    with pytest.raises(SourceError, match="cannot open the device"), LiveImages(shelf):
        pass
    assert shelf.made[0].closed == 1
    notes: list[str] = []
    with LiveImages(Shelf(["absent"], [7, "hang"]), patient=True, on_note=notes.append) as source:
        image = next(iter(source))
        assert (image.connection, source.reconnects) == (0, 0)
    assert notes[0].startswith("cannot open the device. It is opened again")
    assert notes[1].endswith("is back after 0 s")


def test_what_no_further_attempt_mends_is_raised() -> None:
    with LiveImages(Shelf([1, "bug"])) as source, pytest.raises(ZeroDivisionError):
        list(source)


def test_stop_ends_a_waiting_iteration() -> None:
    with LiveImages(Shelf([1, "hang"])) as source:
        images = iter(source)
        next(images)
        timer = threading.Timer(0.05, source.stop)
        timer.start()
        assert list(images) == []
        timer.join()


def test_waits_grow_to_a_limit_and_begin_anew_after_a_steady_while(monkeypatch: pytest.MonkeyPatch) -> None:
    source = LiveImages(Shelf())
    error = SourceError("gone")
    assert [source.lost(error, 0.0) for _ in range(5)] == [0.02, 0.04, 0.08, 0.1, 0.1]
    assert source.lost(error, 11.0) == 0.02
    monkeypatch.undo()
    assert [source.lost(error, 0.0) for _ in range(8)][-1] == 60.0


def test_images_are_turned() -> None:
    class Corner(Scripted):
        def read(self) -> Shot:
            bgr = super().read().bgr.copy()
            bgr[0, 0] = (0, 0, 255)
            return Shot(bgr, time.monotonic())

    with LiveImages(lambda: Corner([1, "hang"]), Orientation(90)) as source:
        np.testing.assert_array_equal(next(iter(source)).pixels[0, 3], (255, 0, 0))


def test_no_thread_is_left(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        with LiveImages(Shelf([1, 2, "hang"])) as source:
            next(iter(source))
    wait_for(lambda: threading.active_count() <= before)


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match="needs cv2"), LiveImages(Shelf([1])):
        pass
