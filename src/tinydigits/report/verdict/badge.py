"""A badge as SVG: the contract's name, the word of the verdict, and the two figures that are asked for first.

Both halves bring their own dark ground, so it reads the same on a light and on a dark page; white on each of them has a
contrast of at least 4.5 (WCAG 2.1, AA).
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from tinydigits.figures import percent
from tinydigits.verdict import Verdict

__all__ = ["render"]

GROUND = {"holds": "#1a7f37", "does not hold": "#b62324", "undecided": "#8a5a00"}
LABEL_GROUND = "#3d444d"
_HEIGHT, _MARGIN, _SIZE = 20, 7, 11
_NARROW, _WIDE = set("fijlrtI.,:;|!'()[]- "), set("mwMW%@")
_LONGEST = 60


def render(verdict: Verdict, before: Verdict | None = None) -> str:
    """A picture without scripts, links or fonts of its own."""
    label, message = _cut(verdict.contract.name), ", ".join([verdict.word, *_figures(verdict)])
    left, right = _width(label) + 2 * _MARGIN, _width(message) + 2 * _MARGIN
    title = f"{verdict.headline} ({verdict.summary})"
    texts = (
        f'<text x="{start + _MARGIN}" y="14" textLength="{width - 2 * _MARGIN}">{escape(words)}</text>'
        for start, width, words in ((0, left, label), (left, right, message))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" '
        f'viewBox="0 0 {left + right} {_HEIGHT}" role="img" aria-label={quoteattr(title)}>\n'
        f"<title>{escape(title)}</title>\n"
        f'<clipPath id="r"><rect width="{left + right}" height="{_HEIGHT}" rx="4"/></clipPath>\n'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{_HEIGHT}" fill="{LABEL_GROUND}"/>'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{GROUND[verdict.word]}"/></g>\n'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="{_SIZE}">'
        f"{''.join(texts)}</g>\n</svg>\n"
    )


def _figures(verdict: Verdict) -> list[str]:
    values = {finding.check: finding.value for finding in verdict.findings}
    figures = []
    if values.get("model.parameters") is not None:
        figures.append(f"{values['model.parameters']:,} parameters")
    if (accuracy := values.get("accuracy")) is not None:
        figures.append(percent(accuracy / 100))
    return figures


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _width(text: str) -> int:
    """About how many pixels Verdana takes; `textLength` makes it so in other fonts."""
    return round(sum(4.4 if letter in _NARROW else 10.5 if letter in _WIDE else 7.0 for letter in text))
