"""Send skeletons to mmn-edge: python send_skeletons.py [HOST:PORT] [SECONDS]. Needs nothing but Python.

Start the other side:  mmn-edge run --model model.bundle tcp://:9000
A token, where one is asked for, is taken from the variable MMN_EDGE_STREAM_TOKEN.
"""

import json
import math
import os
import socket
import sys
import time


class Sender:
    """One connection to mmn-edge, made again where it is lost. Frames meanwhile are dropped: live means now."""

    def __init__(self, address="127.0.0.1:9000"):
        """Take the address; the connection is made with the first frame."""
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._connection = None
        self._again = 0.0
        self._sequence = 0

    def send(self, layout, persons, time_s=None, **more):
        """Send a frame; True if it went out.

        layout: a name of `mmn-edge layouts`. persons: a list of {"id", "keypoints", "scores"}; empty where nobody is
        seen. time_s: when it was captured, in seconds of any steady clock. more: "score_scale", "axes".
        """
        self._sequence += 1
        now = time.monotonic()
        frame = {"time": now if time_s is None else time_s, "sequence": self._sequence, "layout": layout, **more}
        try:
            if self._connection is None:
                if now < self._again:
                    return False
                self._again = now + 1
                self._connection = socket.create_connection(self._address, timeout=1)
                if token := os.environ.get("MMN_EDGE_STREAM_TOKEN"):
                    self._connection.sendall(json.dumps({"token": token}).encode() + b"\n")
            self._connection.sendall(json.dumps({**frame, "persons": persons}).encode() + b"\n")
        except OSError as error:
            print(f"mmn-edge is away ({error})", file=sys.stderr)
            self._connection = None
            return False
        return True


# The 17 joints of coco17 in pixels: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left first.
POSE = [
    *[(320, 100), (328, 92), (312, 92), (340, 96), (300, 96), (370, 170), (270, 170), (400, 240), (240, 240)],
    *[(410, 310), (230, 310), (350, 320), (290, 320), (352, 400), (288, 400), (354, 470), (286, 470)],
]


def seen(now):
    """What the SDK of a sensor would give here: everybody who is seen, with an id that stays."""
    keypoints = [list(point) for point in POSE]
    keypoints[9][1] -= 150 + 50 * math.sin(3 * now)  # the left wrist goes up and down
    return [{"id": 1, "keypoints": keypoints, "scores": [0.9] * len(POSE)}]


def main():
    """Send 30 frames a second."""
    sender = Sender(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else math.inf
    began, count = time.monotonic(), 0
    while (now := time.monotonic()) - began < seconds:
        sender.send("coco17", seen(now), now)
        count += 1
        time.sleep(max(0.0, began + count / 30 - time.monotonic()))


if __name__ == "__main__":
    main()
