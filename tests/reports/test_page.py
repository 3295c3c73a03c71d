from __future__ import annotations

from html.parser import HTMLParser

from mmn_edge.reports.page import Bullets, Heading, Page, Paragraph, Picture, Table, Terms

PAGE = Page(
    "a < b",
    [
        Paragraph("All & well.", bold=True),
        Bullets(["one", "two <script>"], alarm=True),
        Bullets([]),
        Table(["class", "of", "F1"], [["x|y", "a", "50.0"], ["z", "b", "-"]], words=2, bar="F1"),
        Heading("deeper", 3),
        Picture("<svg>drawn</svg>", "drawn.svg", "a drawing"),
        Terms([("F1", "a mean")]),
    ],
)


class Tags(HTMLParser):
    """Checks that what is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_escaped() -> None:
    html = PAGE.html()
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert "<title>a &lt; b</title>" in html
    assert "two &lt;script&gt;" in html
    assert '<td class="bar" style="--share: 50.0%">50.0</td>' in html
    assert "<td>-</td>" in html
    assert "<svg>drawn</svg>" in html
    assert html.count("<ul") == 1


def test_markdown_says_the_same() -> None:
    assert PAGE.markdown().splitlines() == [
        "# a < b",
        "",
        "**All & well.**",
        "",
        "- one",
        "- two <script>",
        "",
        "| class | of | F1 |",
        "| --- | --- | ---: |",
        "| x\\|y | a | 50.0 |",
        "| z | b | - |",
        "",
        "### deeper",
        "",
        "![a drawing](drawn.svg)",
        "",
        "- **F1**: a mean.",
    ]


def test_a_section_is_a_heading_and_what_follows() -> None:
    page = Page("t")
    page.section("more", Paragraph("text"))
    assert page.blocks == [Heading("more"), Paragraph("text")]
