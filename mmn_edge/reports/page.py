"""A report as one page: what it says, once, and from that Markdown and an HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Block", "Bullets", "Heading", "Page", "Paragraph", "Picture", "Table", "Terms", "percent"]

STYLE = """
body { font: 15px/1.5 system-ui, Helvetica, Arial, sans-serif; color: #222; background: #fff; max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 0.5rem 0 }
.wide { overflow-x: auto }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid #e3e3e3; white-space: nowrap }
th { border-bottom: 2px solid #888; font-weight: 600 }
th:first-child, td:first-child, .text { text-align: left } .text { white-space: normal }
td.bar { background: linear-gradient(to right, #cfe3f1 var(--share), transparent var(--share)) }
svg { max-width: 100%; height: auto } li { overflow-wrap: anywhere } .alarm { color: #a33d00 }
dt { font-weight: 600 } dd { margin: 0 0 0.4rem 1.5rem }
"""


@dataclass(frozen=True)
class Heading:
    """A heading below the title; ``level`` 2 or 3."""

    text: str
    level: int = 2

    def html(self) -> str:
        """As an element."""
        return f"<h{self.level}>{escape(self.text)}</h{self.level}>"

    def markdown(self) -> list[str]:
        """As lines."""
        return [f"{'#' * self.level} {self.text}"]


@dataclass(frozen=True)
class Paragraph:
    """Text, in bold where it is what the report comes to."""

    text: str
    bold: bool = False

    def html(self) -> str:
        """As an element."""
        return f"<p><b>{escape(self.text)}</b></p>" if self.bold else f"<p>{escape(self.text)}</p>"

    def markdown(self) -> list[str]:
        """As lines."""
        return [f"**{self.text}**" if self.bold else self.text]


@dataclass(frozen=True)
class Bullets:
    """A list, red where its points are faults; nothing at all where it is empty."""

    points: Sequence[str]
    alarm: bool = False

    def html(self) -> str:
        """As an element."""
        kind = ' class="alarm"' if self.alarm else ""
        points = "".join(f"<li>{escape(point)}</li>\n" for point in self.points)
        return f"<ul{kind}>{points}</ul>" if self.points else ""

    def markdown(self) -> list[str]:
        """As lines."""
        return [f"- {point}" for point in self.points]


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        header: The names of the columns.
        rows: As many cells each.
        words: The first columns that hold words; the others hold numbers.
        bar: The column whose per cents are drawn as well; None: none.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    bar: str | None = None

    def html(self) -> str:
        """As an element; wide tables scroll by themselves."""
        kinds = [' class="text"' if column < self.words else "" for column in range(len(self.header))]
        head = "".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in zip(self.header, kinds, strict=True))
        lines = []
        for row in self.rows:
            cells = []
            for cell, kind, name in zip(row, kinds, self.header, strict=True):
                drawn = name == self.bar and cell != "-"
                style = f' class="bar" style="--share: {cell.split(" ")[0]}%"' if drawn else kind
                cells.append(f"<td{style}>{escape(cell)}</td>")
            lines.append(f"<tr>{''.join(cells)}</tr>")
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'

    def markdown(self) -> list[str]:
        """As lines."""

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        rule = ["---" if column < self.words else "---:" for column in range(len(self.header))]
        return [line(self.header), line(rule), *map(line, self.rows)]


@dataclass(frozen=True)
class Picture:
    """A picture: inside the HTML page, and beside the Markdown one as ``file``."""

    svg: str
    file: str
    words: str

    def html(self) -> str:
        """As an element."""
        return self.svg

    def markdown(self) -> list[str]:
        """As lines."""
        return [f"![{self.words}]({self.file})"]


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    entries: Sequence[tuple[str, str]]

    def html(self) -> str:
        """As an element."""
        terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}.</dd>" for name, text in self.entries)
        return f"<dl>{terms}</dl>"

    def markdown(self) -> list[str]:
        """As lines."""
        return [f"- **{name}**: {text}." for name, text in self.entries]


Block = Heading | Paragraph | Bullets | Table | Picture | Terms


@dataclass
class Page:
    """A title and what stands below it, in order.

    Attributes:
        title: In plain text, as all text here.
        blocks: What the page says.
        generator: Who made it, for programs that look at the file.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)
    generator: str = "mmn-edge"

    def add(self, *blocks: Block) -> None:
        """Say more."""
        self.blocks += blocks

    def section(self, heading: str, *blocks: Block) -> None:
        """Say more under a heading."""
        self.add(Heading(heading), *blocks)

    def html(self) -> str:
        """One file with its pictures inside."""
        title = escape(self.title)
        head = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="generator" content="{escape(self.generator)}">'
            f"<title>{title}</title><style>{STYLE}</style></head><body>"
        )
        return "\n".join([head, f"<h1>{title}</h1>", *(b.html() for b in self.blocks), "</body></html>"]) + "\n"

    def markdown(self) -> str:
        """One file that names its pictures."""
        lines = [f"# {self.title}"]
        for block in self.blocks:
            if found := block.markdown():
                lines += ["", *found]
        return "\n".join(lines) + "\n"


def percent(share: float) -> str:
    """A fraction in per cent, with one decimal."""
    return f"{100 * share:.1f}"
