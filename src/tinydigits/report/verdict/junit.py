"""JUnit's XML, which CI systems show as a list of tests: a test case for each check.

What is undecided or was not run is a failure, since the verdict does not hold then. The layout is the one of Jenkins'
`junit-10.xsd`, which GitLab, Azure and Jenkins read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from tinydigits.report.verdict import _words
from tinydigits.run import code_note

__all__ = ["render"]

# What XML 1.0 has no way to write.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """One test suite."""
    wrong = sum(1 for _ in _words.not_passed(verdict))
    counts = {"tests": str(len(verdict["findings"])), "failures": str(wrong), "errors": "0", "skipped": "0"}
    clock = {"time": str(verdict.get("seconds", 0))}
    name = _clean(f"{verdict['target']['name']} against {verdict['contract']['name']}")
    root = ElementTree.Element("testsuites", {"name": "tinydigits"} | counts | clock)
    facts = {"timestamp": re.sub(r"[+-]\d{4}$", "", verdict["verified_at"])} if "verified_at" in verdict else {}
    suite = ElementTree.SubElement(root, "testsuite", {"name": name} | counts | clock | facts)
    note = code_note(verdict["target"])
    if note:
        properties = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(properties, "property", {"name": "code", "value": _clean(note)})
    for finding in verdict["findings"]:
        group = _clean(f"tinydigits.{verdict['contract']['name']}")
        case = ElementTree.SubElement(suite, "testcase", {"classname": group, "name": _clean(finding["check"])})
        if finding["status"] == "pass":
            ElementTree.SubElement(case, "system-out").text = _clean(_words.sentence(finding))
        else:
            parts = [_words.sentence(finding), finding["why"], finding.get("advice", "")]
            message = {"message": _clean(". ".join(filter(None, [parts[0], parts[2]]))), "type": finding["status"]}
            ElementTree.SubElement(case, "failure", message).text = _clean("\n".join(filter(None, parts)))
    if note:
        ElementTree.SubElement(suite, "system-out").text = _clean(note)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _ILLEGAL.sub("�", text)
