"""Send skeletons to mmn-edge: python send_skeletons.py [HOST:PORT] [SECONDS]. Needs nothing but Python.

Start the other side first:  mmn-edge run --model model.bundle tcp://:9000
A token, where one is asked for, is taken from the variable MMN_EDGE_STREAM_TOKEN.
"""

import json
import math
import os
import socket
import sys
import time

JOINTS = 17  # of the layout coco17: 0 nose, 5 and 6 shoulders, 7 and 8 elbows, 9 and 10 wrists, ...
POSE = [(320, 100), (328, 92), (312, 92), (340, 96), (300, 96), (370, 170), (270, 170), (400, 240), (240, 240),
        (410, 310), (230, 310), (350, 320), (290, 320), (352, 400), (288, 400), (354, 470), (286, 470)]  # fmt: skip


def persons(now: float) -> list[dict]:
    """What a sensor's SDK would give here: everybody seen, with an id that stays, and pixels of each joint."""
    keypoints = [list(point) for point in POSE]
    keypoints[9][1] -= 150 + 50 * math.sin(3 * now)  # the left wrist goes up and down
    return [{"id": 1, "keypoints": keypoints, "scores": [0.9] * JOINTS}]


def main() -> None:
    """Connect, and send 30 frames a second."""
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9000").rpartition(":")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else math.inf
    with socket.create_connection((host, int(port))) as connection:
        if token := os.environ.get("MMN_EDGE_STREAM_TOKEN"):
            connection.sendall(json.dumps({"token": token}).encode() + b"\n")
        began, sequence = time.monotonic(), 0
        while (now := time.monotonic()) - began < seconds:
            frame = {"time": now, "sequence": sequence, "layout": "coco17", "persons": persons(now)}
            connection.sendall(json.dumps(frame).encode() + b"\n")
            sequence += 1
            time.sleep(max(0.0, began + sequence / 30 - time.monotonic()))


if __name__ == "__main__":
    main()
