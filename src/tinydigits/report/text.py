"""Figures and tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from tinydigits.escape import Markdown, markdown
from tinydigits.stats import Interval, mean_and_sd

__all__ = ["duration", "interval", "link", "megabytes", "percent", "picture", "setting", "spread", "table"]

_IN_ADDRESSES = "/:#?=&%~@+,;"  # beside letters, digits and _.-~


def percent(share: float) -> str:
    """A share of 1 in per cent, two decimals; more where two would call it all, though it is not.

    >>> percent(0.9942), percent(1.0), percent(59_999 / 60_000)
    ('99.42 %', '100.00 %', '99.998 %')
    """
    decimals = 2
    while share < 1 and decimals < 6 and float(f"{100 * share:.{decimals}f}") >= 100:
        decimals += 1
    return f"{100 * share:.{decimals}f} %"


def spread(shares: Sequence[float]) -> str:
    """Mean and standard deviation of shares of 1, in per cent; of one share, itself.

    >>> spread([0.994, 0.995, 0.996]), spread([0.994])
    ('99.500 ± 0.100 %', '99.400 %')
    """
    mean, sd = mean_and_sd([100 * share for share in shares])
    return f"{mean:.3f} ± {sd:.3f} %" if len(shares) > 1 else f"{mean:.3f} %"


def interval(found: Interval) -> str:
    """The ends of an interval of shares, in per cent.

    >>> interval(Interval(0.98, 1.002)), interval(Interval(0.98, 0.99999))
    ('98.00 to 100.00 %', '98.00 to 99.999 %')
    """
    return f"{percent(max(0.0, found.low)).removesuffix(' %')} to {percent(min(1.0, found.high))}"


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.42), duration(15.83), duration(754), duration(7265)
    ('0.4 s', '15.8 s', '12 min 34 s', '2 h 01 min')
    """
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def megabytes(num_bytes: int) -> str:
    """Bytes as megabytes of 10⁶.

    >>> megabytes(465_915_904)
    '466 MB'
    """
    return f"{num_bytes / 1e6:,.0f} MB"


def setting(value: object) -> str:
    """A setting's value for people: what a search has drawn in four digits.

    >>> setting(0.013427384782), setting((0.85, 0.95)), setting("adam"), setting(None)
    ('0.01343', '[0.85, 0.95]', 'adam', '')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(setting(inner) for inner in value)}]"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def table(header: Sequence[object], rows: Iterable[Sequence[object]], align: str = "") -> str:
    """A Markdown table; `align` has a letter a column, `l` or `r`, and is filled up with `l`.

    What is in its cells stays text, but for what is `Markdown` already.

    >>> print(table(["name", "size"], [["a", 1], ["b", 22]], align="lr"))
    | name | size |
    | :--- | ---: |
    | a | 1 |
    | b | 22 |
    """
    rules = ["---:" if letter == "r" else ":---" for letter in align.ljust(len(header), "l")]
    lines = [[markdown(value) for value in header], rules, *([markdown(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def picture(file: str, alt: str) -> str:
    """A picture beside the page.

    >>> picture("curves.png", "Loss [train]")
    '![Loss (train)](curves.png)'
    """
    return "!" + link(alt, file)


def link(words: str, target: str) -> Markdown:
    """A link to a file or an address.

    >>> link("a run", "runs/a run/report.md")
    '[a run](runs/a%20run/report.md)'
    """
    return Markdown(f"[{markdown(words).replace('[', '(').replace(']', ')')}]({quote(target, safe=_IN_ADDRESSES)})")
