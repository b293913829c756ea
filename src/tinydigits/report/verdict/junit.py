"""JUnit's XML, which CI systems show as a list of tests: a test case for each check.

What is undecided or was not run is a failure, since the verdict does not hold then. The layout is the one of Jenkins'
`junit-10.xsd`, which GitLab, Azure and Jenkins read.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tinydigits.verdict import Verdict

__all__ = ["render"]


def render(verdict: Verdict, before: Verdict | None = None) -> str:
    """One test suite."""
    num_tests, num_failures = str(len(verdict.findings)), str(len(verdict.not_passed))
    counts = {"tests": num_tests, "failures": num_failures, "errors": "0", "skipped": "0"}
    clock = {"time": str(verdict.seconds)}
    name = f"{verdict.target.name} against {verdict.contract.name}"
    root = ElementTree.Element("testsuites", {"name": "tinydigits"} | counts | clock)
    facts = {"timestamp": re.sub(r"[+-]\d{4}$", "", verdict.verified_at)} if verdict.verified_at else {}
    suite = ElementTree.SubElement(root, "testsuite", {"name": name} | counts | clock | facts)
    if verdict.target.notes:
        properties = ElementTree.SubElement(suite, "properties")
        for note in verdict.target.notes:
            ElementTree.SubElement(properties, "property", {"name": "code", "value": note})
    for finding in verdict.findings:
        group = f"tinydigits.{verdict.contract.name}"
        case = ElementTree.SubElement(suite, "testcase", {"classname": group, "name": finding.check})
        if finding.status == "pass":
            ElementTree.SubElement(case, "system-out").text = finding.sentence
        else:
            message = ". ".join(filter(None, [finding.sentence, finding.advice]))
            failure = ElementTree.SubElement(case, "failure", {"message": message, "type": finding.status})
            failure.text = "\n".join(filter(None, [finding.sentence, finding.why, finding.advice]))
    if note:
        ElementTree.SubElement(suite, "system-out").text = note
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
