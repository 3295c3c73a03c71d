"""The sender of the documentation, and what can be said of its bridges without their devices."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmn_edge.runtime.streams.endpoint import TOKEN
from mmn_edge.skeleton import layouts

from .conftest import Running

DOCS = Path(__file__).resolve().parents[3] / "docs"
BRIDGES = re.findall(
    r"^## (.+?)\n.*?```python\n(.*?)```", (DOCS / "guides" / "bridges.md").read_text(), flags=re.M | re.S
)


def test_the_sender_of_the_documentation(listening: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "secret")
    running = listening("tcp://:0")
    address = f"127.0.0.1:{running.source.port}"
    subprocess.run([sys.executable, DOCS / "examples" / "send_skeletons.py", address, "1"], check=True, timeout=30)
    assert len(running.taken) >= 10
    assert running.source.note is None
    assert running.source.layout == "coco17"


def test_the_sender_survives_that_nobody_listens() -> None:
    program = "from send_skeletons import Sender; s = Sender('127.0.0.1:9'); print(s.send('coco17', []))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=DOCS / "examples", capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "False\n"
    assert "mmn-edge is away" in done.stderr


@pytest.mark.parametrize(("title", "code"), BRIDGES, ids=[title for title, _ in BRIDGES])
def test_bridges_name_a_layout_and_are_python(title: str, code: str) -> None:
    tree = ast.parse(code)
    sent = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "send"]
    assert [layouts.get(ast.literal_eval(call.args[0])).name for call in sent]
    assert "Not run on the device." in (DOCS / "guides" / "bridges.md").read_text().split(f"## {title}")[1][:60]
    assert len([line for line in code.splitlines() if line.strip()]) <= 30


def test_nuitracks_joints_fill_the_places_of_the_kinect() -> None:
    code = dict(BRIDGES)["RealSense, with Nuitrack"]
    names: dict[str, list[str | None]] = {}
    exec("\n".join(re.findall(r"^(?:SIDE|LEG|JOINTS) .*$", code, flags=re.M)), names)
    layout = layouts.get("kinect-v2")
    assert len(names["JOINTS"]) == layout.num_joints
    for joint, name in zip(layout.joints, names["JOINTS"], strict=True):
        if name is not None and name.startswith(("left_", "right_")) and name != "left_collar":
            assert joint == name


def test_there_is_a_bridge_for_each() -> None:
    assert len(BRIDGES) == 5
