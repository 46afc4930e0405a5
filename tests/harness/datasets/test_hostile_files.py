"""Files that nobody vouches for: a clear error each, never a traceback, an endless read or a text that was lost unseen."""

from __future__ import annotations

import os
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.datasets.base import Dataset
from harness.datasets.coco import Coco
from harness.datasets.images import Images
from harness.datasets.index.inputs import image_source
from harness.datasets.jsonl import Jsonl
from harness.datasets.karpathy import Karpathy
from harness.datasets.load import load_examples
from harness.datasets.rocstories import RocStories
from harness.datasets.webdataset import WebDataset
from harness.errors import DataError, SuiteError, UnreadableImage
from harness.fetch.check import check_suite
from harness.suites.examples import read_image
from harness.suites.sections import checked
from harness.suites.spec import Suite
from tests.miniature import add_member, image_bytes

NAMES = '{"image_name": "a.jpg", "captions": ["x"], "split": %s}'
COCO = '{"images": [{"id": %s, "file_name": %s}], "annotations": []}'
STORY = "storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5\n1,T,a,b,c,d,"


def suite_of(folder: Path, dataset: str, **options: Any) -> Suite:
    data = {"dataset": dataset, **options}
    content = {"name": "s", "data": data, "text": {"max_length": 9}, "decoders": {"greedy": {}}, "folder": folder}
    return Suite.model_validate(content)


@pytest.mark.parametrize(
    ("plugin", "content", "says"),
    [
        (Jsonl, '{"image": "a.jpg", "image": "b.jpg"}', "the key 'image' twice, so one of its values would be lost"),
        (Jsonl, '{"id": "a", "meta": {"x": NaN}}', "NaN is no number of JSON"),
        (Jsonl, '{"id": "a", "meta": {"x": 1e999}}', "1e999 is no number of JSON"),
        (Jsonl, '{"id": null, "references": ["x"]}', "id is None; expected a text or a whole number"),
        (Jsonl, '{"id": [1], "references": ["x"]}', r"id is \[1\]"),
        (Jsonl, '{"id": true, "references": ["x"]}', "id is True"),
        (Jsonl, '{"id": "a", "references": ["x"], "captions": ["y"]}', "both references and captions"),
        (Jsonl, '{"image": "\\ud800.jpg"}', "expected a name that a file can have"),
        (Jsonl, '{"id": "a"}\0', "is no JSON"),
        (Jsonl, "9" * 5000, "is no JSON"),
        (Karpathy, "[" + NAMES % '"test"' + "," + NAMES % '"tset"' + "]", r"'tset' \(did you mean 'test'\?\)"),
        (Karpathy, "[" + NAMES % '"test"' + "," + NAMES % "null" + "]", "image 1 of .* has the split None"),
        (Karpathy, '{"images": [], "images": []}', "the key 'images' twice"),
        (Coco, COCO % ("Infinity", '"a"'), "no number of JSON"),
        (Coco, COCO % ("1.5", '"a"'), "an image's id is 1.5"),
        (Coco, COCO % ("true", '"a"'), "an image's id is True"),
        (Coco, COCO % ("1", "null"), "file_name of the image 1 is None"),
        (RocStories, f'{STORY}"e\n2,T,a,b,c,d,e\n', "is no CSV .*unexpected end of data"),
        (RocStories, f'{STORY}"e" f\n', "is no CSV"),
        (RocStories, f"{STORY}e, and more\n", "line 2 of .* has more cells than the header has columns"),
        (RocStories, "storytitle," + STORY, "has the column storytitle twice"),
    ],
)
def test_what_would_be_lost_or_misread_is_refused(tmp_path: Path, plugin: type[Dataset], content: str, says: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "file").write_text(content)
    options = {"file": "file"} | ({} if plugin is RocStories else {"images": "images"})
    with pytest.raises(DataError, match=says):
        plugin(checked(plugin.Options, options, "[data]"), tmp_path).examples()


def test_all_of_a_karpathy_file_can_be_had_whatever_its_splits_are_called(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("[" + NAMES % '"dev"' + "]")
    assert len(load_examples(suite_of(tmp_path, "karpathy", file="k.json", split="all"))) == 1


@pytest.mark.parametrize("name", ["", "\\ud800"])
def test_ids_that_cannot_be_kept_are_refused_and_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"id": "{name}", "references": ["x"]}}')
    suite = suite_of(tmp_path, "jsonl", file="a.jsonl")
    with pytest.raises(SuiteError, match="expected a text that UTF-8 can write"):
        load_examples(suite)
    assert any("1 id that cannot be used" in finding.detail for finding in check_suite(suite).findings)


def test_a_prompt_with_half_a_surrogate_pair_is_told_by_its_example(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a", "prompt": "The \\ud800 Beach", "references": ["x"]}')
    suite = suite_of(tmp_path, "jsonl", file="a.jsonl")
    with pytest.raises(SuiteError, match="the prompt of 'a' .* holds half of a surrogate pair"):
        load_examples(suite)
    assert any("1 prompt that UTF-8 cannot write: a" in finding.detail for finding in check_suite(suite).findings)
    (tmp_path / "a.jsonl").write_text('{"id": "a", "prompt": "The", "references": ["The \\ud800 Beach"]}')
    assert any("1 reference that UTF-8 cannot write: a" in finding.detail for finding in check_suite(suite).findings)


def test_a_name_too_long_for_any_file_is_an_image_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"image": "%s.jpg"}' % ("a" * 5000))
    suite = suite_of(tmp_path, "jsonl", file="a.jsonl")
    assert any("1 of 1 images are missing" in finding.detail for finding in check_suite(suite, deep=True).findings)
    with pytest.raises(UnreadableImage):
        read_image(load_examples(suite)[0].image or b"")


# Archives


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar header that claims any size, a negative one too."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (0x80 if size >= 0 else 0xFF).to_bytes(1, "big") + size.to_bytes(11, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("size", "kind"),
    [(-1, tarfile.REGTYPE), (-1024, tarfile.REGTYPE), (1 << 86, tarfile.REGTYPE), (-1024, tarfile.GNUTYPE_LONGNAME),
     (-1024, tarfile.XHDTYPE)],
)  # fmt: skip
def test_a_tar_that_claims_sizes_that_cannot_be_is_damaged(tmp_path: Path, size: int, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add_member(tar, "good.jpg", image_bytes(0))
    content = (tmp_path / "a.tar").read_bytes().rstrip(b"\0")
    content += b"\0" * (-len(content) % 512)
    (tmp_path / "a.tar").write_bytes(content + header("bad.jpg", size, kind) + b"\0" * 1024)
    with pytest.raises(DataError, match="no tar file that can be read to its end"):
        Images(tmp_path, "a.tar")
    with pytest.raises(DataError, match="no tar file that can be read to its end"):
        image_source(tmp_path / "a.tar").items()


def test_what_is_no_plain_file_in_a_tar_is_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add_member(tar, "good.jpg", image_bytes(0))
        for number, kind in enumerate((tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE)):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with (tmp_path / "a.tar").open("r+b") as file:
        end = file.read().rstrip(b"\0")
        file.seek(len(end) + -len(end) % 512)
        file.write(header("sparse.jpg", 0, tarfile.GNUTYPE_SPARSE) + b"\0" * 1024)
    assert [item.name for item in image_source(tmp_path / "a.tar").items()] == ["a.tar/good.jpg"]
    assert isinstance(Images(tmp_path, "a.tar").find("good.jpg").read(), bytes)  # type: ignore[union-attr]
    for name in ("0.jpg", "3.jpg", "sparse.jpg"):
        with pytest.raises(UnreadableImage, match="there is no such file"):
            read_image(Images(tmp_path, "a.tar").find(name))


def test_a_name_twice_in_an_archive_is_told_by_indices_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(2):
            archive.writestr("a.jpg", image_bytes(number))
    with pytest.raises(DataError, match=r"holds a.jpg twice"):
        image_source(tmp_path / "a.zip").items()
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        add_member(tar, "a.jpg", image_bytes(0))
        add_member(tar, "a.JPG", image_bytes(1))
    with pytest.raises(DataError, match=r"holds a.JPG and a.jpg, of which one would be lost"):
        WebDataset(checked(WebDataset.Options, {"shards": "s.tar"}, "[data]"), tmp_path).examples()


def test_a_zip_of_a_later_version_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", image_bytes(0))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    for reader in (lambda: Images(tmp_path, "a.zip"), lambda: image_source(tmp_path / "a.zip")):
        with pytest.raises(DataError, match="cannot be read as a zip file .zip file version 25.5"):
            reader()


def test_names_in_a_table_that_are_no_text_are_told(tmp_path: Path) -> None:
    names = pa.array([b"\xff.jpg"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"image": [image_bytes(0)], "file_name": names}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="cannot be read as a parquet file .*codec"):
        Images(tmp_path, "a.parquet")


# Folders


def test_pipes_devices_and_links_in_circles_are_no_images(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.jpg").write_bytes(image_bytes(0))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "secret.jpg").symlink_to("/etc/passwd")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(image_bytes(1))
    refused = {item.name: item.refused for item in image_source(folder).items()}
    assert refused == {
        "?.jpg": "its name is no UTF-8",
        "good.jpg": "",
        "loop.jpg": "Too many levels of symbolic links",
        "pipe.jpg": "it is a pipe, socket or device",
        "secret.jpg": "it is a link to /etc/passwd, outside the folder",
    }
    images = Images(tmp_path, "images")
    with pytest.raises(DataError, match=r"pipe.jpg is a pipe, socket or device"):
        images.find("pipe.jpg")
    with pytest.raises(UnreadableImage, match="symbolic links"):
        read_image(images.find("loop.jpg"))
