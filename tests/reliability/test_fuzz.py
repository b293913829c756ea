"""Every reader of a stranger's files gives an answer or a TinydigitsError; `make fuzz` tries forty times as many."""

from __future__ import annotations

import pytest

from benchmarks.reliability import fuzz


@pytest.mark.parametrize("name", fuzz.READERS)
def test_a_reader_given_anything_answers_or_refuses(name: str) -> None:
    tried, accepted = fuzz.feed(name, 500)
    assert tried >= 500
    assert 0 < accepted < tried, "files that are nearly right, and files that are not"
