"""Every command that README and docs show is one that the command line takes: verb, arguments, flags and their values."""

from __future__ import annotations

import itertools
import re
import shlex

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from harness.cli import app
from harness.suites.spec import Suite, packaged_suites
from tests.pages import ROOT

PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])}

FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`seetell ([^`]+)`")
IN_BLOCK = re.compile(r"(?:^|[\s/])seetell (?=[a-z-])([^\n]+)")
CONTINUED = re.compile(r" *\\\n *|(?<=\.json)\n +(?=--)")
"""A line that goes on in the next one, in a shell and in folded YAML."""
ENDS = ("|", "||", "&", "&&", ">", ">>")


def commands(page: str) -> list[tuple[list[str], bool]]:
    """The commands of a page, and whether each has to be whole: words in a sentence may leave arguments out."""
    blocks = [text for language, text in FENCED.findall(page) if language in ("", "sh", "console", "yaml")]
    shown = [found for block in blocks for found in IN_BLOCK.findall(CONTINUED.sub(" ", block))]
    said = INLINE.findall(FENCED.sub("", page))
    return [(words(text), True) for text in shown] + [(words(text), False) for text in said]


def words(text: str) -> list[str]:
    """A command as the shell splits it, up to a comment, a column of notes, `...` or the next command."""
    found = shlex.split(re.split(r" {2,}", text, maxsplit=1)[0], comments=True)
    stop = next((place for place, word in enumerate(found) if word in ENDS or word == "..."), len(found))
    if found[stop - 1 : stop + 1] == ["--set", "..."]:
        stop -= 1
    return [word.removesuffix("...") for word in found[:stop]]


def test_pages_show_commands() -> None:
    found = {name: len(commands(page)) for name, page in PAGES.items()}
    assert found["README.md"] >= 20
    assert found["gate.md"] > 6


@pytest.mark.parametrize("name", PAGES)
def test_the_command_line_takes_every_command_of_a_page(name: str) -> None:
    wrong = []
    for tokens, whole in commands(PAGES[name]):
        try:
            app.parse_args(tokens, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            if whole or not isinstance(error, MissingArgumentError):
                wrong.append((tokens, str(error)))
    assert wrong == []


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_sets_is_in_the_packaged_suite(name: str) -> None:
    for tokens, _ in commands(PAGES[name]):
        suite = next((word for word in tokens if word in packaged_suites()), None)
        if suite is not None and "--set" in tokens:
            settings = tokens[tokens.index("--set") + 1 :]
            found = list(itertools.takewhile(lambda word: not word.startswith("--"), settings))
            assert Suite.load(suite, found).settings


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_leads_to_is_there(name: str) -> None:
    page = PAGES[name]
    folder = ROOT if (ROOT / name).is_file() else ROOT / "docs"
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page) + re.findall(r'src="([^":]+)"', page)
    paths = re.findall(r"`((?:decoders|harness|annotation_ui|tests|docs)/[\w./-]*)`", page)
    assert [link for link in links if not (folder / link).exists()] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = re.findall(r"^([a-z-]+)(?= ?[a-z-]*:)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|^ *)make ([a-z-]+)", page, re.MULTILINE)) <= set(targets) | {"leaderboard-check"}
