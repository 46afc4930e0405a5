"""Message catalogues: the same keys and placeholders everywhere, and the language that was wished for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

import annotation_ui
from annotation_ui import language
from annotation_ui.screens.admin import SCREENS
from harness.study.analysis.power import PARTS
from harness.study.rating.forms import Form
from harness.study.rating.views import SKIP_REASONS, Role
from harness.study.tables.schema import Annotator, Block, Campaign

FOLDER = Path(annotation_ui.__file__).parent


def states(table: Any) -> list[str]:
    """The words that a table's column `status` or `state` may hold, by its CHECK."""
    checks = [str(each.sqltext) for each in table.__table__.constraints if hasattr(each, "sqltext")]
    return re.findall(r"'([a-z]+)'", next(check for check in checks if check.startswith("stat")))


CHOSEN = {
    "rate.reason_": SKIP_REASONS,
    "rate.end_": ("finished", "paused", "frozen", "withdrawn", "training", "wait", "reserved"),
    "join.refused_": ("unknown", "expired", "revoked", "used-up", "name-missing", "name-taken", "closed"),
    "pages.": ("join", "consent", "guidelines", "practice", "rate", "work", "done"),
    "admin_pages.": SCREENS,
    "states.": states(Campaign),
    "people.": states(Annotator),
    "blocks.": states(Block),
    "roles.": get_args(Role),
    "parts.": PARTS,
    "decisions.": ("pause", "resume", "exclude", "dismiss"),
}
"""Messages that are chosen by a word of the study: their beginnings, and the words there are."""


def leaves(table: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(table, dict):
        for key, value in table.items():
            yield from leaves(value, f"{name}.{key}")
    elif isinstance(table, list):
        for index, value in enumerate(table):
            yield from leaves(value, f"{name}.{index}")
    else:
        yield name, table


@pytest.mark.parametrize("code", [code for code in language.languages() if code != language.DEFAULT])
def test_every_language_says_everything(code: str) -> None:
    ours, theirs = dict(leaves(language.catalogue(language.DEFAULT))), dict(leaves(language.catalogue(code)))
    assert theirs.keys() == ours.keys()
    for name, text in ours.items():
        assert sorted(re.findall(r"\{\d\}", theirs[name])) == sorted(re.findall(r"\{\d\}", text)), name
        assert theirs[name].strip(), name
    assert sum(theirs[name] != text for name, text in ours.items()) > 0.8 * len(ours)


def test_every_message_that_is_asked_for_exists_and_none_is_idle() -> None:
    known = {name[1:] for name, _ in leaves(language.catalogue(language.DEFAULT)) if not name.startswith(".rate.keys.")}
    known -= {"name"}
    sources = "\n".join(file.read_text() for file in FOLDER.rglob("*.py"))
    screen = "\n".join(part.read_text() for part in (FOLDER / "component").glob("*.js"))
    asked = set(re.findall(r"(?:translate|pages_link)\(\s*[\"']([a-z_]+\.[a-z_-]+)[\"']", sources))
    for table, names in re.findall(r'column_heads\(\s*"([a-z_]+)", ([^()]+)\)', sources):
        asked |= {f"{table}.{name}" for name in re.findall(r'"([a-z_]+)"', names)}
    asked |= {f"rate.{word}" for word in set(re.findall(r"words\.([a-z_]+)", screen)) - {"lang", "keys"}}
    asked |= {f"{table}{word}" for table, words in CHOSEN.items() for word in words}
    assert len(asked) > 200
    assert asked == known
    # Each place where a message is chosen by a word of the study is among those whose words are listed above.
    places = re.findall(r'(?:translate\(|key = )f"([a-z_]+\.[a-z_]*)', sources)
    assert {place for place in places if not any(table.startswith(place) for table in CHOSEN)} == set()


@pytest.mark.parametrize(
    ("wishes", "spoken"),
    [(("de-AT",), "de"), (("de_CH",), "de"), ((None, "fr", "de"), "de"), (("xx",), "en"), ((), "en"), (("en-GB", "de"), "en")],
)
def test_the_first_wish_that_can_be_met_is_met(wishes: tuple[str | None, ...], spoken: str) -> None:
    assert language.best(*wishes) == spoken


def test_the_screens_send_exactly_the_fields_of_a_form() -> None:
    """The rating form is defined once, in `harness.study.rating.forms`; the screen's script and the plain form spell it out."""
    script = (FOLDER / "component" / "draft.js").read_text()
    sent = script[script.index("finish(client) {") :]
    in_script = re.findall(r"^      (\w+)(?=[:,])", sent[: sent.index("};")], re.MULTILINE)
    page = (FOLDER / "screens" / "rate.py").read_text()
    in_page = re.findall(r'^        "(\w+)":', page[page.index("form = {\n") : page.index("receipt = ")], re.MULTILINE)
    assert tuple(in_script) == tuple(field.name for field in fields(Form)) == tuple(in_page)
