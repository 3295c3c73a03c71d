from xml.etree import ElementTree

from mmn_edge.cli.demo import score
from mmn_edge.cli.timeline import FALSE_ALARM, HIT, MISS, svg
from mmn_edge.datasets.synthetic.clips import Segment


def test_the_picture_shows_hits_misses_and_false_alarms() -> None:
    truth = [Segment(2, 4, "waving"), Segment(8, 10, "<nodding>")]
    found = [Segment(3, 5, "waving"), Segment(14, 15, "shrugging")]
    root = ElementTree.fromstring(svg(score(truth, found), 20))
    space = "{http://www.w3.org/2000/svg}"
    bars = [bar.get("fill") for bar in root.iter(f"{space}rect")][1:]
    assert sorted(filter(None, bars)) == sorted([HIT, HIT, MISS, FALSE_ALARM])
    texts = {text.text for text in root.iter(f"{space}text")}
    assert {"waving", "<nodding>", "shrugging", "script", "recognised", "20 s"} <= texts
    joins = [line for line in root.iter(f"{space}line") if line.get("stroke") == HIT]
    assert len(joins) == 1


def test_nothing_at_all() -> None:
    assert "precision" in svg(score([], []), 10).lower()
