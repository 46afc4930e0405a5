"""The command beside a row, and the suite it names, make the same run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.decode.imported.keep import IMPORTED
from harness.decode.plan import labels
from harness.leaderboard.reproduce import command, needs_file, suite_toml
from harness.suites.spec import Suite, packaged_suites
from tests.harness.leaderboard.sites import spec


@pytest.mark.parametrize("name", packaged_suites())
def test_a_suite_written_as_toml_asks_for_the_same(name: str) -> None:
    suite = Suite.load(name)
    for label in labels(suite):
        again = Suite.parse(suite_toml(suite, label).encode(), "again", suite.folder)
        mine, theirs = again.document(), suite.document()
        for part in ("name", "title", "task", "data", "models", "captions", "text", "run", "metrics"):
            assert mine[part] == theirs[part], part
        assert labels(again)[label] == labels(suite)[label] or label == "constant"


@pytest.mark.parametrize("text", ['a "quoted" \\ back', "line\nbreak\ttab", "\x7f\u2028 é 🎈", "]] # = '''", "{prompt}"])
def test_odd_texts_survive(text: str) -> None:
    suite = Suite.load("toybox-plain")
    options = {"key with space": text, "list": [1, 2.5, True, text], "table": {"deep": text}}
    data = suite.data.model_copy(update={"options": options})
    suite = suite.model_copy(update={"title": text, "data": data})
    again = Suite.parse(suite_toml(suite, "magic").encode(), "again", suite.folder)
    assert (again.title, again.data.options) == (text, options)


def test_the_command_names_a_packaged_suite_only_where_it_asks_for_the_same() -> None:
    suite = Suite.load("toybox-plain")
    mine = spec("magic", "toybox-plain")
    assert command(mine, suite) == "seetell run toybox-plain --only magic"
    assert command(spec("constant", "toybox-plain"), suite) == "seetell run toybox-plain --only constant"
    decoders = {**suite.decoders, "magic": suite.decoders["magic"].model_copy(update={"options": {"k": 9}})}
    changed = suite.model_copy(update={"decoders": decoders})
    assert command(mine, changed) == "seetell run toybox-plain.toml --only magic"
    assert needs_file(mine, changed)
    assert command(spec("greedy", "toybox-plain"), changed) == "seetell run toybox-plain --only greedy"
    elsewhere = suite.model_copy(update={"run": suite.run.model_copy(update={"seed": 7})})
    assert needs_file(mine, elsewhere)
    own = suite.model_copy(update={"name": "mine", "folder": Path("/elsewhere")})
    assert command(mine, own) == "seetell run mine.toml --only magic"
    assert command(mine.model_copy(update={"decoder": IMPORTED}), own) == ""
