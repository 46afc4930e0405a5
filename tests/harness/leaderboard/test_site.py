"""The site on disk: whole, self-contained, the same bytes from the same results, and able to tell whether it is current."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from harness.errors import StoreError
from harness.leaderboard.collect import Material
from harness.leaderboard.frame import Row
from harness.leaderboard.site import manifest, write_site
from harness.leaderboard.site.manifest import examples_page, file_name, run_page
from tests.harness.leaderboard.sites import MORE_HOSTILE, hostile, material


class Tags(HTMLParser):
    """Every start tag, and what stands in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, dict[str, str | None], str]] = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside.append((tag, dict(attrs), ""))
            self._open = True

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, attributes, text = self.inside[-1]
            self.inside[-1] = (tag, attributes, text + data)

    def handle_endtag(self, tag: str) -> None:
        self._open = False


def pages(folder: Path) -> dict[str, Tags]:
    return {str(file.relative_to(folder)): Tags(file.read_text("utf-8")) for file in sorted(folder.rglob("*.html"))}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(params=["plain", "hostile"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = material(tmp_path) if request.param == "plain" else hostile(tmp_path)
    write_site([made], tmp_path / "site")
    return tmp_path / "site"


def test_every_page_allows_its_own_script_and_style_by_hash_and_nothing_else(site: Path) -> None:
    for name, page in pages(site).items():
        [policy] = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv")]
        rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        for tag, rule in (("script", "script-src"), ("style", "style-src")):
            texts = [text for kind, attributes, text in page.inside if kind == tag and "type" not in attributes]
            digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
            assert [f"'sha256-{digest}'" for digest in digests] == [rules[rule]], name
        data = [text for tag, attributes, text in page.inside if attributes.get("type") == "application/json"]
        assert all(json.loads(text) for text in data)
        handlers = [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
        assert handlers == []


def test_every_address_leads_to_a_file_of_the_site(site: Path) -> None:
    for name, page in pages(site).items():
        for tag, attributes in page.tags:
            address = attributes.get("href") or attributes.get("src")
            if tag not in ("a", "img", "link", "script") or not address:
                continue
            parts = urlsplit(address)
            assert (parts.scheme, parts.netloc) == ("", ""), address
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            assert target.is_file(), f"{name}: {address}"
    for file in (site / "examples").glob("*.html"):
        [data] = [text for tag, attributes, text in Tags(file.read_text("utf-8")).inside if attributes.get("id") == "data"]
        for item in json.loads(data)["items"]:
            assert item["image"] is None or (site / item["image"][0]).is_file()


def test_a_run_has_a_page_with_its_specification_and_how_to_make_it_again(tmp_path: Path) -> None:
    made = material(tmp_path)
    write_site([made], tmp_path / "site")
    text = (tmp_path / "site" / run_page(made.runs[0].row)).read_text("utf-8")
    for expected in (made.runs[0].content["identity"], "seetell run made.toml --only system-0", "cider|v:1", "some-machine",
                     "max_new_tokens = 8", "85.0 to 95.0"):  # fmt: skip
        assert expected in text, expected


def test_a_reproducible_site_says_nothing_of_machine_and_day_and_has_the_same_bytes_again(tmp_path: Path) -> None:
    made = material(tmp_path)
    later = replace(made, board=replace(made.board, created="2027-07-07", environment="another"))
    later = replace(later, runs=tuple(replace(run, content={**run.content, "environment": {"python": "4"}}) for run in made.runs))
    write_site([made], tmp_path / "one", reproducible=True)
    write_site([later], tmp_path / "two", reproducible=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for name, content in contents(tmp_path / "one").items():
        for secret in (b"some-machine", b"3.99", b"2026-01-02", b"/somewhere"):
            assert secret not in content, (name, secret)
    write_site([made], tmp_path / "three")
    assert any(b"some-machine" in content for content in contents(tmp_path / "three").values())


def test_what_an_earlier_build_left_is_removed_and_what_others_put_there_stays(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_site([material(tmp_path, systems=3)], site)
    (site / "notes.txt").write_text("mine")
    before = set(contents(site))
    write_site([material(tmp_path, systems=2)], site)
    gone = before - set(contents(site))
    assert [name.split("-")[2] for name in gone] == ["2"]
    assert (site / "notes.txt").exists()
    fresh = tmp_path / "fresh"
    write_site([material(tmp_path, systems=2)], fresh)
    assert set(contents(site)) - {"notes.txt"} == set(contents(fresh))


def test_a_manifest_cannot_make_a_build_remove_files_elsewhere(tmp_path: Path) -> None:
    site, outside = tmp_path / "site", tmp_path / "outside.txt"
    outside.write_text("mine")
    write_site([material(tmp_path)], site)
    content = json.loads((site / "site.json").read_text())
    content["files"] |= {"../outside.txt": "", str(outside): ""}
    (site / "site.json").write_text(json.dumps(content))
    write_site([material(tmp_path)], site)
    assert outside.exists()


def test_the_manifest_finds_damage_and_change(tmp_path: Path) -> None:
    made, site = material(tmp_path), tmp_path / "site"
    write_site([made], site)
    known = manifest.read(site)
    assert manifest.differences(known, manifest.describe([made], reproducible=False), site) == []
    (site / "index.html").write_text("changed")
    (site / "speed.html").unlink()
    assert manifest.damaged(site) == ["index.html: not as it was written", "speed.html: missing"]

    def change(**fields: object) -> list[str]:
        row = replace(made.runs[0].row, **fields)  # type: ignore[arg-type]
        now = replace(made, runs=(replace(made.runs[0], row=row), *made.runs[1:]))
        return manifest.differences(known, manifest.describe([now], reproducible=False))

    cell = made.runs[0].row.cells["cider"]
    assert cell.value is not None
    assert change(cells={**made.runs[0].row.cells, "cider": replace(cell, value=cell.value + 1e-9)}) == []
    assert "cider: was" in change(cells={**made.runs[0].row.cells, "cider": replace(cell, value=cell.value + 1e-3)})[0]
    assert "another way" in change(cells={**made.runs[0].row.cells, "cider": replace(cell, signature="other")})[0]
    record = replace(made.runs[0].records[0], text="other")
    other = replace(made, runs=(replace(made.runs[0], records=(record, *made.runs[0].records[1:])), *made.runs[1:]))
    [said] = manifest.differences(known, manifest.describe([other], reproducible=False))
    assert said.endswith("other texts")
    fewer = manifest.describe([replace(made, runs=made.runs[1:])], reproducible=False)
    assert [each.endswith("no longer there") for each in manifest.differences(known, fewer)] == [True]
    assert [each.endswith("not in the site yet") for each in manifest.differences(fewer, known)] == [True]


def test_a_folder_without_a_site_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="seetell leaderboard --out"):
        manifest.read(tmp_path)
    (tmp_path / "site.json").write_text('{"format": "other"}')
    with pytest.raises(StoreError, match="no site of this version"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("text", [*MORE_HOSTILE, "", ".", "..", "CON", "a" * 300, "a/b"])
def test_names_of_files_are_safe_and_differ(text: str) -> None:
    name = file_name(text)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,200}", name)
    assert name != file_name(text + "x")
    row = Row(text, text, "12345678", {}, 0, 0, 0, True)
    assert re.fullmatch(r"runs/[a-z0-9._-]+\.html", run_page(row))
    assert examples_page("toybox-plain") == "examples/toybox-plain.html"


def test_without_speeds_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    made = material(tmp_path)
    rows = tuple(replace(row, cells={"cider": row.cells["cider"]}) for row in made.board.rows)
    bare: Material = replace(made, board=replace(made.board, rows=rows), speeds=())
    write_site([bare], tmp_path / "site")
    text = (tmp_path / "site" / "speed.html").read_text("utf-8")
    assert "seetell bench decoders <bdi>made</bdi>" in text
    assert len(text) < 20_000, "no drawing, no drawing library"
