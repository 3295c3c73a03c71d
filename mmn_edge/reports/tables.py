"""What the project's reports have in common: the look of a page, and tables in Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["STYLE", "html_table", "markdown_table", "percent"]

STYLE = """
body { font: 15px/1.5 system-ui, Helvetica, Arial, sans-serif; color: #222; background: #fff; max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 0.5rem 0 }
.wide { overflow-x: auto }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid #e3e3e3; white-space: nowrap }
th { border-bottom: 2px solid #888; font-weight: 600 }
th:first-child, td:first-child, .text { text-align: left }
td.bar { background: linear-gradient(to right, #cfe3f1 var(--share), transparent var(--share)) }
svg { max-width: 100%; height: auto }
dt { font-weight: 600 } dd { margin: 0 0 0.4rem 1.5rem }
"""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose first column is words and whose others are numbers."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(header), line(["---", *["---:"] * (len(header) - 1)]), *map(line, rows)]


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1, bar: str | None = None) -> str:
    """A table whose first ``text`` columns are words; in the column ``bar`` per cents are drawn as well."""
    kinds = [' class="text"' if column < text else "" for column in range(len(header))]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in zip(header, kinds, strict=True))
    lines = []
    for row in rows:
        cells = []
        for cell, kind, name in zip(row, kinds, header, strict=True):
            style = f' class="bar" style="--share: {cell.split(" ")[0]}%"' if name == bar and cell != "-" else kind
            cells.append(f"<td{style}>{escape(cell)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def percent(share: float) -> str:
    """A fraction in per cent, with one decimal."""
    return f"{100 * share:.1f}"
