"""JUnit's XML, which CI systems show as a list of tests: a test case for each check.

What is undecided or was not run is a failure, since the verdict does not hold then. The layout is the one of Jenkins'
`junit-10.xsd`, which GitLab, Azure and Jenkins read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from tinydigits.errors import printable
from tinydigits.report.verdict import _words
from tinydigits.run import code_note

__all__ = ["render"]


def render(verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """One test suite."""
    wrong = sum(1 for _ in _words.not_passed(verdict))
    counts = {"tests": str(len(verdict["findings"])), "failures": str(wrong), "errors": "0", "skipped": "0"}
    clock = {"time": str(verdict.get("seconds", 0))}
    name = printable(f"{verdict['target']['name']} against {verdict['contract']['name']}")
    root = ElementTree.Element("testsuites", {"name": "tinydigits"} | counts | clock)
    facts = {"timestamp": re.sub(r"[+-]\d{4}$", "", verdict["verified_at"])} if "verified_at" in verdict else {}
    suite = ElementTree.SubElement(root, "testsuite", {"name": name} | counts | clock | facts)
    note = code_note(verdict["target"])
    if note:
        properties = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(properties, "property", {"name": "code", "value": printable(note)})
    for finding in verdict["findings"]:
        group = printable(f"tinydigits.{verdict['contract']['name']}")
        case = ElementTree.SubElement(suite, "testcase", {"classname": group, "name": printable(finding["check"])})
        if finding["status"] == "pass":
            ElementTree.SubElement(case, "system-out").text = printable(_words.sentence(finding))
        else:
            parts = [*map(printable, (_words.sentence(finding), finding["why"], finding.get("advice", "")))]
            message = {"message": ". ".join(filter(None, [parts[0], parts[2]])), "type": finding["status"]}
            ElementTree.SubElement(case, "failure", message).text = "\n".join(filter(None, parts))
    if note:
        ElementTree.SubElement(suite, "system-out").text = printable(note)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
