"""From predictions to events: the decoder, as a bundle sets it up, behind the recognizer."""

from __future__ import annotations

from collections.abc import Container

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.errors import BundleError, UsageError
from mmn_edge.events.decoder import Decoder, Event
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.runtime.recognizer import Prediction

__all__ = ["EventStage", "parameters_of"]


def parameters_of(bundle: Bundle) -> DecoderParameters:
    """The decoder's parameters that a bundle holds; what is usual for its task where it holds none.

    Raises:
        BundleError: They are broken.
    """
    manifest = bundle.manifest
    if manifest.decoder is None:
        return DecoderParameters.for_model(manifest.labels, manifest.task, manifest.window)
    try:
        parameters = DecoderParameters.from_dict(manifest.decoder)
        parameters.check(manifest.labels)
    except UsageError as error:
        raise BundleError(f"{bundle.path}: {error}") from error
    return parameters


class EventStage:
    """Takes a stream's predictions and says what begins, goes on and ends.

    Args:
        bundle: The model that predicts.
        parameters: Instead of the bundle's own.

    Raises:
        BundleError: The bundle's parameters are broken.
        UsageError: ``parameters`` name a class that the model does not have.
    """

    def __init__(self, bundle: Bundle, parameters: DecoderParameters | None = None) -> None:
        manifest = bundle.manifest
        chosen = parameters_of(bundle) if parameters is None else parameters
        self._decoder = Decoder(manifest.labels, chosen, manifest.task, manifest.window)

    def feed(self, prediction: Prediction, present: Container[int] = ()) -> list[Event]:
        """Take a prediction and return what it began, went on with or ended; ``present`` as for :meth:`advance`."""
        return self._decoder.feed(
            prediction.time, prediction.person, prediction.probabilities, prediction.seen, present
        )

    def advance(self, time: float, present: Container[int] = ()) -> list[Event]:
        """Learn that the stream has come to ``time``, seconds, whoever is in it.

        Args:
            time: Seconds in the stream.
            present: Persons who are seen, although nothing was predicted of them for lack of time.
        """
        return self._decoder.advance(time, present)

    def finish(self) -> list[Event]:
        """The stream has ended, and with it what still went on."""
        return self._decoder.finish()
