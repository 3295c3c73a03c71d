import xml.etree.ElementTree as ET

import numpy as np
import pytest

from mmn_edge.evaluation.metrics import ReliabilityBins
from mmn_edge.reports.reliability import reliability

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def hints(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}title")]


def test_reliability_panels() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    bins = ReliabilityBins.of(p, np.array([0, 1, 0]))
    one, two = reliability([("a & b", bins)]), reliability([("a", bins), ("b", bins)])
    assert "a & b" in texts(one)
    ece = bins.expected_calibration_error
    assert ece == pytest.approx((0.1 + 0.8 + 0.4) / 3)
    assert texts(two).count("ECE 43.3 %, 3 clips") == 2
    assert "confidence 80 %, accuracy 0 %, 1 clips" in hints(one)
    assert float(ET.fromstring(two).get("width", 0)) > float(ET.fromstring(one).get("width", 0))
