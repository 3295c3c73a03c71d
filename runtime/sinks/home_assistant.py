"""What Home Assistant is told so that it finds a source by itself: one ``event`` entity a source.

See https://www.home-assistant.io/integrations/event.mqtt/ and its page on MQTT discovery.
"""

from __future__ import annotations

from typing import Any

from mmn_edge import __version__
from mmn_edge.events.interval import group_label
from mmn_edge.model.labels import Labels

__all__ = ["discovery", "event_types"]


def event_types(labels: Labels) -> list[str]:
    """All that an event may be: the classes, and the body-level groups that stand in for unsure ones."""
    return [*labels.classes, *(group_label(group) for group in labels.groups)]


def discovery(
    prefix: str, device: str, source: str, labels: Labels, *, topic: str, availability: str
) -> tuple[str, dict[str, Any]]:
    """Topic and payload of a source's configuration, to be retained by the broker.

    Args:
        prefix: Home Assistant's, ``homeassistant`` unless it was changed there.
        device: Name of this machine; part of the ids, which must not change.
        source: Name of the source, as topics have it.
        labels: The model's classes.
        topic: Where the starts of events are published.
        availability: Where ``online`` and ``offline`` are.
    """
    identity = f"mmn_edge_{device}_{source}"
    payload = {
        "name": f"{source} micro-action",
        "unique_id": identity,
        "object_id": identity,
        "state_topic": topic,
        "event_types": event_types(labels),
        "icon": "mdi:human-handsup",
        "qos": 1,
        "availability_topic": availability,
        "payload_available": "online",
        "payload_not_available": "offline",
        "device": {
            "identifiers": [f"mmn_edge_{device}"],
            "name": f"mmn-edge {device}",
            "model": "mmn-edge",
            "sw_version": __version__,
        },
        "origin": {"name": "mmn-edge", "sw_version": __version__},
    }
    return f"{prefix}/event/{identity}/config", payload
