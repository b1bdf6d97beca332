"""HTML for notebooks: what results, reports and tables show of themselves where there is a page to show it on.

Names of files and classes are anybody's, so that every text is escaped; a cell is HTML only if it is an `Html`.
"""

from __future__ import annotations

import base64
import functools
import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from kerasfer.files import printable

__all__ = ["Html", "bar", "escaped", "facts", "optional", "page", "picture", "table"]

T = TypeVar("T")

LONGEST = 200
"""Characters of a text that are shown; of a longer one the end is left out."""


class Html(str):
    """A text that is HTML already."""


def optional(show: Callable[[T], Any]) -> Callable[[T], Any]:
    """A notebook's method that never fails: where something is wrong it gives None, and `repr` is shown instead."""

    @functools.wraps(show)
    def shown(self: T) -> Any:
        try:
            return show(self)
        except Exception:  # A file that is gone, or is no photo any more: nothing that a cell should end with.
            return None

    return shown


def escaped(value: object) -> Html:
    """Any value as text of a page, `Html` as it is."""
    if isinstance(value, Html):
        return value
    text = printable(value)
    return Html(html.escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…", quote=True))


def table(headings: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """A table; numbers are set to the right."""
    head = "".join(f'<th style="text-align:left">{escaped(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return Html(f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>")


def _cell(value: object) -> str:
    side = "right" if isinstance(value, (int, float)) and not isinstance(value, bool) else "left"
    text = f"{value:,}" if side == "right" else value
    return f'<td style="text-align:{side};vertical-align:top">{escaped(text)}</td>'


def facts(title: object, pairs: Iterable[tuple[object, object]]) -> Html:
    """A title and a table of names and values."""
    return page(Html(f"<b>{escaped(title)}</b>"), table((), pairs))


def page(*parts: object) -> Html:
    """Parts below one another."""
    return Html(f"<div>{''.join(f'<div>{escaped(part)}</div>' for part in parts if part != '')}</div>")


def bar(share: float) -> Html:
    """A bar as long as a share in [0, 1]."""
    width = round(100 * min(max(share, 0.0), 1.0))
    inner = f'<div style="width:{width}px;height:0.7em;background:#0072b2"></div>'
    return Html(f'<div style="width:100px;border:1px solid #8888">{inner}</div>')


def picture(content: bytes, says: object, kind: str = "jpeg") -> Html:
    """An image in the page itself; `says` is its text for who cannot see it."""
    data = base64.b64encode(content).decode("ascii")
    return Html(f'<img src="data:image/{kind};base64,{data}" alt="{escaped(says)}" title="{escaped(says)}">')
