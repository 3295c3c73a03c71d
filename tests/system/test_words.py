from __future__ import annotations

from mmn_edge.system.words import some


def test_the_first_few_of_many_names() -> None:
    assert some([]) == ""
    assert some(iter("ab")) == "a, b"
    assert some("abcde", 5) == "a, b, c, d, e"
    assert some("abcde", 3) == "a, b, c and 2 more"
