"""Reading ahead: images are decoded in a thread of their own while the pose of earlier ones is estimated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmn_edge.runtime.handover import Handover
from mmn_edge.runtime.sources.images import Image, ImageSource

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ReadAhead"]

DEPTH = 4
"""Images that wait at most: enough for a costly key frame, and 100 MB of 4K video."""


class ReadAhead:
    """Another image source, read in a thread ahead of who uses the images: all of them, in order.

    Args:
        images: What is read; entered and left together with this source.
        depth: Images that wait at most.
    """

    def __init__(self, images: ImageSource, depth: int = DEPTH) -> None:
        self._images = images
        self._depth = depth
        self._done: float | None = None
        self._thread: threading.Thread | None = None
        self._handed: Handover[tuple[Image, float | None]] | None = None

    @property
    def done(self) -> float | None:
        """What share of the stream was handed on."""
        return self._done

    @property
    def note(self) -> str | None:
        """What the source within says at its end."""
        return self._images.note

    @property
    def live(self) -> bool:
        """Whether the source within is."""
        return self._images.live

    @property
    def dropped(self) -> int:
        """What the source within left out."""
        return self._images.dropped

    @property
    def reconnects(self) -> int:
        """How often the source within was lost and found again."""
        return self._images.reconnects

    def stop(self) -> None:
        """Have the iteration end after what was read ahead."""
        self._images.stop()
        if self._handed is not None:
            self._handed.end()

    def __enter__(self) -> Self:
        self._images.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._images.__exit__(*error)

    def __iter__(self) -> Iterator[Image]:
        """Yield the images of the source within; what it raises is raised after the last of them."""
        self._stop()
        handed = self._handed = Handover[tuple[Image, float | None]](self._depth)
        self._thread = threading.Thread(target=self._read, args=(handed,), name="decode", daemon=True)
        self._thread.start()
        while (pair := handed.take()) is not None:
            image, self._done = pair
            yield image

    def _read(self, handed: Handover[tuple[Image, float | None]]) -> None:
        try:
            for image in self._images:
                if not handed.put((image, self._images.done)):
                    return
        except BaseException as error:
            handed.end(error)
        else:
            handed.end()

    def _stop(self) -> None:
        if self._thread is not None and self._handed is not None:
            self._handed.leave()
            self._thread.join()
        self._thread = self._handed = None
