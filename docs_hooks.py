"""Formulas of the documentation become MathML while it is built, so that a page loads nothing."""

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(r'(?s)<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>')


def on_page_content(content: str, **_: object) -> str:
    """Return the page with every formula written as MathML."""

    def mathml(found: re.Match[str]) -> str:
        display = "block" if found[2] == "[" else "inline"
        return convert(html.unescape(found[3]), display=display)

    return _FORMULA.sub(mathml, content)
