"""Pages in Markdown, as the hosting site shows them."""

from __future__ import annotations

import re


def headings(page: str) -> list[str]:
    """The headings of a page; a comment in an example is none."""
    return re.findall(r"^#+ (.+)", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
