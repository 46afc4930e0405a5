"""The HTML page as a parser sees it: one file, no network, its own script and style allowed by hash, all else text."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.leaderboard import render
from harness.leaderboard.page import image_address
from tests.harness.leaderboard.samples import HOSTILE, board, hostile_board, lettered_board, png


class Page(HTMLParser):
    """Every start tag with its attributes, and the text of scripts, styles and everything else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.texts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute stands twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag in self.raw:
            self._inside = tag
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.raw[self._inside][-1] += data
        else:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render([board()], "html"))


@pytest.fixture(scope="module")
def hostile() -> Page:
    return Page(render([hostile_board()], "html"))


def test_the_policy_allows_exactly_the_pages_own_script_and_style(page: Page) -> None:
    policy = next(each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (content,) = page.raw[tag]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_nothing_is_fetched_and_nothing_acts(which: str, request: pytest.FixtureRequest) -> None:
    found: Page = request.getfixturevalue(which)
    assert len(found.all("script")) == 1
    assert found.all("script") == [{}]
    assert not {"iframe", "object", "embed", "form", "base", "link"} & {tag for tag, _ in found.tags}
    for tag, attributes in found.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")], f"a handler on {tag}"
        for name in ("src", "href", "action", "srcset"):
            address = attributes.get(name)
            assert address is None or re.match(r"#[\w-]+$|data:image/(png|jpeg|gif|webp);base64,", address), address


def test_hostile_text_is_shown_as_it_is(hostile: Page) -> None:
    shown = "".join(hostile.texts)
    for text in HOSTILE[:5]:
        assert shown.count(text) >= len(HOSTILE), "as an answer, at the least, of every example"
    assert "49" not in "".join(hostile.texts[:40]).replace("{{ 7 * 7 }}", ""), "no template runs twice"
    assert not hostile.all("img"), "an SVG is no picture to us"


def test_direction_overrides_cannot_leave_their_text() -> None:
    evil = "\u202egnp.exe"
    shown = board()
    answers = (replace(shown.examples[0].answers[0], text=evil),)
    example = replace(shown.examples[0], answers=answers, references=(evil,))
    text = render([replace(shown, examples=(example,), description=evil)], "html")
    assert len(re.findall("\u202e", text)) == 2
    assert len(re.findall(f"<bdi>{evil}</bdi>", text)) == 2, "elements isolate what is inside them"


def test_images_stand_beside_answers_references_and_failures(page: Page) -> None:
    (image,) = page.all("img")
    assert image["loading"] == "lazy"
    assert image["decoding"] == "async"
    assert image["src"] == f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    shown = " ".join(page.texts)
    for text in ("magic saw a red kite.", "One kite, red.", "UnreadableImage", "b.png is truncated", "(empty text)"):
        assert text in shown
    assert "2 of 64 examples are shown." in shown


def test_rows_carry_what_sorting_needs(page: Page) -> None:
    cells = [each for each in page.all("td") if "best" in str(each["class"]).split()]
    assert [each["data-sort"] for each in cells] == ["0.9", "0.01"]
    rows = [each["data-complete"] for each in page.all("tr") if "data-complete" in each]
    assert rows == ["1"] * 6 + ["0"]
    assert [each.get("aria-sort") for each in page.all("th") if each.get("aria-sort")] == ["descending"]
    titles = [str(each.get("title")) for each in page.all("th")]
    assert any("cider|tok:ptb|v:0.1.0\ncider|tok:python|v:0.1.0" in title for title in titles)


def test_a_cell_says_its_group_in_a_letter_and_in_words() -> None:
    text = render([lettered_board()], "html")
    assert text.count('<span class="letters"><span class="hush">, group </span>') == 5
    titles = [str(each.get("title")) for each in Page(text).all("span") if each.get("class") == "value"]
    assert any("CIDEr 90.0;" in title and "group a: not told apart from clipre;" in title for title in titles)
    clipre = next(title for title in titles if "group ab" in title)
    assert "not told apart from magic, constant, contrastive, greedy;" in clipre
    assert "paired permutation test over examples, B = 10,000, two-sided, Holm over all pairs of the column, 5%" in text
    assert "Small letters" not in "".join(Page(render([board()], "html")).texts), "nothing was tested, nothing is explained"


def test_published_numbers_have_a_table_of_their_own() -> None:
    shown = replace(board(), published=hostile_board().published)
    found = Page(render([shown], "html"))
    assert len(found.all("table")) == 2
    assert ["data-sortable" in each for each in found.all("table")] == [True, False]
    without_runs = render([replace(shown, rows=(), columns=(), examples=())], "html")
    assert "No runs of this suite yet." in without_runs
    assert len(Page(without_runs).all("table")) == 1


def test_intervals_are_drawn_on_the_scale_of_their_signature() -> None:
    shown = board()
    found = Page(render([replace(shown, rows=shown.rows[:2], columns=shown.columns[:1], examples=())], "html"))
    whiskers = [str(each["d"]) for each in found.all("path") if each["class"] == "whisker"][:2]
    assert [float(each[1:].split(" ")[0]) for each in whiskers] == [pytest.approx(2 + 60 * 0.8 / 0.9, abs=0.1), 2.0]
    assert whiskers[0].endswith("H62.0")


def test_an_empty_leaderboard_says_so() -> None:
    assert "There are no runs yet." in render([], "html")


@pytest.mark.parametrize(
    ("image", "start"),
    [(b"\xff\xd8\xff\xe0", "data:image/jpeg;base64,"), (b"GIF89a", "data:image/gif"), (b"RIFF0000WEBPVP8 ", "data:image/webp"),
     (b"RIFF0000WAVE", ""), (b"<svg/>", ""), (b"", ""), (None, "")],
)  # fmt: skip
def test_only_raster_images_are_embedded(image: bytes | None, start: str) -> None:
    address = image_address(image)
    assert address.startswith(start)
    assert bool(address) == bool(start)
