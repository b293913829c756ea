"""The report as one HTML file: what it says, that it needs nothing else, and how it looks in a real browser."""

from __future__ import annotations

import io
import re
import shutil
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError
from tinydigits.report import html_page, write_reports
from tinydigits.run import Run
from tinydigits.stats import wilson_interval

# The contrast of each text with the ground that it stands on (WCAG 2.1), least first.
CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const square = node.parentElement.querySelector(":scope > rect");  // of a confusion matrix
    const ink = light(parse(node.closest("svg") ? style.fill : style.color));
    const under = light(square ? parse(getComputedStyle(square).fill) : ground(node));
    const name = node.tagName + "." + node.getAttribute("class") + ": " + node.textContent;
    found.push([(Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05), name]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


# Words of the charts that reach over their edges, where they would be cut.
CUT = """() => [...document.querySelectorAll("svg text")].filter((node) => {
  const box = node.getBBox(), view = node.ownerSVGElement.viewBox.baseVal;
  return box.x < 0 || box.y < 0 || box.x + box.width > view.width || box.y + box.height > view.height;
}).map((node) => node.textContent)"""


@pytest.fixture(scope="module")
def several(verified: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The verified run, and a copy of it under another seed that was not verified and has other mistakes."""
    folder = tmp_path_factory.mktemp("study")
    first = Run(Path(shutil.copytree(verified.folder, folder / "first")))
    second = Run(Path(shutil.copytree(verified.folder, folder / "second")))
    for file in ("verdict.json", "predictions.npz"):
        (second.folder / file).unlink()
    record = second.record
    record.recipe["seed"] = 4
    with np.load(second.file("samples.npz")) as kept:
        arrays = dict(kept)
    wrong = np.array(sorted({*arrays["wrong_index"].tolist()} ^ {*range(40)}))
    assert record.result is not None
    record.result.correct = record.result.seen - len(wrong)
    samples = io.BytesIO()
    np.savez(samples, **{**arrays, "wrong_index": wrong})
    second.write("samples.npz", samples.getvalue())
    second.write_record(record)
    return [first, second]


def cells_of(page: str, row: str) -> list[str]:
    found = re.search(rf"<tr><th scope=\"row\"[^>]*>{row}</th>(.*?)</tr>", page, re.S)
    assert found, row
    return re.findall(r"<td[^>]*>(.*?)</td>", found[1])


def test_the_page_of_a_run_says_what_its_files_say(verified: Run) -> None:
    page = html_page([verified], "a title")
    record, verdict = verified.record, verified.verdict
    assert page.startswith('<!doctype html>\n<html lang="en">') and "<title>a title</title>" in page
    assert record.result is not None and verdict is not None
    interval = wilson_interval(record.result.correct, record.result.seen)
    assert f"95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %" in page
    assert f"Contract half: {verdict.word}" in page
    for finding in verdict.findings:
        assert cells_of(page, finding.check)[2].endswith(finding.status)
    for heading in ("Curves", "Answers to digits test images", "Answers to digits validation images", "Worst mistakes"):
        assert heading in page
    with np.load(verified.file("samples.npz")) as kept:
        assert page.count("<title>Filter ") == kept["filters"].shape[0] * kept["filters"].shape[1]
        error = np.abs(kept["reliability"][2] - kept["reliability"][1]).sum() / record.result.seen
    assert f"expected calibration error {error:.4f}" in page


def test_the_page_needs_nothing_outside_itself_and_runs_nothing(several: list[Run]) -> None:
    page = html_page(several, "two")
    addresses = re.findall(r"""(?:src|href|action|data|poster)\s*=\s*["']([^"']*)""", page) + re.findall(r"url\(", page)
    assert addresses and all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert "<script" not in page and "default-src 'none'" in page


def test_words_of_strangers_stay_words(verified: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(verified.folder, tmp_path / "<i>run")))
    record = run.record
    record.classes[3] = "<script>alert(1)</script>"
    record.recipe["name"] = "a<b>&"
    run.write_record(record)
    page = html_page([run, verified], "<title>")
    assert "<script" not in page and "a<b>" not in page and "<i>run" not in page
    assert "&lt;script&gt;alert(1)" in page and "a&lt;b&gt;&amp;" in page


def test_several_runs_are_compared_with_their_uncertainties_kept_apart(several: list[Run]) -> None:
    paths = write_reports(several, several[0].folder.parent)
    markdown, page = (path.read_text(encoding="utf-8") for path in paths)
    first, second = several
    results = [run.record.result for run in several]
    assert results[0] is not None and results[1] is not None
    shares = [100 * result.correct / result.seen for result in results if result is not None]
    mean, sd = np.mean(shares), np.std(shares, ddof=1)
    assert f"{mean:.3f} ± {sd:.3f} %" in page and f"{mean:.3f} ± {sd:.3f} %" in markdown
    wrong = [set(np.load(run.file("samples.npz"))["wrong_index"].tolist()) for run in several]
    won, lost = len(wrong[1] - wrong[0]), len(wrong[0] - wrong[1])
    cells = cells_of(page, "1 and 2")
    assert cells[:3] == ["300 digits validation", str(won), str(lost)]
    p_value = binomtest(won, won + lost).pvalue
    assert float(cells[5]) == pytest.approx(p_value, rel=0.06, abs=6e-4)
    assert "Settings that differ" not in page  # the seed stands in the first table
    assert "| 1 and 2 |" in markdown and f"[{second.name}](second/report.md)" in markdown
    assert (second.folder / "report.md").is_file() and first.name in page
    assert "![Parameters against validation accuracy](frontier.svg)" in markdown
    chart = ElementTree.parse(paths[0].with_name("frontier.svg")).getroot()
    titles = [title.text or "" for title in chart.iter("{http://www.w3.org/2000/svg}title")]
    assert any(title.startswith("2: digits s4, 9,274 parameters") for title in titles)


def test_settings_that_a_search_has_drawn_are_rounded_and_all_right_stands_at_100_percent(
    several: list[Run], tmp_path: Path
) -> None:
    runs = [Run(Path(shutil.copytree(run.folder, tmp_path / run.name))) for run in several]
    record = runs[1].record
    assert record.result is not None
    record.recipe["optimizer"]["lr"], record.result.correct = 0.013427384782, record.result.seen
    runs[1].write_record(record)
    page = html_page(runs, "drawn")
    assert cells_of(page, "2")[:1] != [] and '<td class="l">0.01343</td>' in page
    chart = page[page.index("<title>Parameters against accuracy</title>") :]
    (tick,) = re.findall(r'<text class="tick" x="[^"]+" y="([^"]+)">100 %</text>', chart[: chart.index("</svg>")])
    (place,) = re.findall(r"<title>2: [^<]+ 100\.00 %</title>.*?cy=\"([^\"]+)\"", chart)
    assert float(tick) - 4 == pytest.approx(float(place))


def test_without_any_run_or_with_a_damaged_one_it_is_told(verified: Run, tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match="got no run"):
        html_page([], "none")
    run = Run(Path(shutil.copytree(verified.folder, tmp_path / "run")))
    run.write("samples.npz", b"torn")
    with pytest.raises(TinydigitsError, match=r"samples\.npz: damaged"):
        html_page([run], "torn")


def test_the_command_takes_a_study_and_passes_over_what_is_no_run(several: list[Run]) -> None:
    study = several[0].folder.parent
    (study / "journal.log").write_text("", encoding="utf-8")
    (study / "report.html").unlink(missing_ok=True)
    for arguments in ([str(study)], [*(str(path) for path in sorted(study.iterdir())), "typo"]):
        answer = CliRunner().invoke(app, ["report", *arguments], catch_exceptions=False)
        assert answer.exit_code == 0 and str(study / "report.html") in answer.stdout
        assert "2 runs of" in (study / "report.html").read_text(encoding="utf-8")
        (study / "report.html").unlink()
    assert answer.stderr == "skipped 1: typo: no such folder\n"


@pytest.mark.parametrize(("scheme", "media"), [("light", "screen"), ("dark", "screen"), ("dark", "print")])
def test_in_a_browser_it_is_read_in_light_dark_and_print(
    browser: Any, several: list[Run], tmp_path: Path, scheme: str, media: str
) -> None:
    (tmp_path / "report.html").write_text(html_page(several, "two runs"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme=scheme)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda request: told.append(request.url) if request.url.startswith("http") else None)
    page.goto((tmp_path / "report.html").as_uri())
    page.emulate_media(media=media, color_scheme=scheme)
    assert told == []
    assert page.evaluate(CUT) == []
    least, where = page.evaluate(CONTRASTS)[0]
    assert least >= 4.5, where
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light" or media == "print")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((node) => Number(node.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    named = "[...document.querySelectorAll('svg, svg g:has(> image)')].every((node) => node.firstChild.textContent)"
    assert page.evaluate(named) and page.evaluate("document.querySelectorAll('svg image').length") > 4
    assert page.evaluate("[...document.querySelectorAll('th')].every((node) => node.scope)")
    names = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(names) == len(set(names)) and "run-2" in names
    page.set_viewport_size({"width": 390, "height": 800})
    assert media == "print" or page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
