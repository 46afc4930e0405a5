"""Images from folders, archives and shards; captions from files."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from decoders.errors import UnreadableImage
from harness.datasets.index.inputs import FolderImages, TarImages, image_source, stamps, text_captions
from harness.errors import DataError
from tests.checkpoints import write_images


def shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_shards_are_one_source_in_order(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    shard(tmp_path / "shards" / "b.tar", {"1.jpg": b"b1", "1.json": b"{}", "0.png": b"b0"})
    shard(tmp_path / "shards" / "a.tar", {"x/7.jpg": b"a7", "../7.jpg": b"out"})
    source = image_source(tmp_path / "shards")
    assert isinstance(source, TarImages)
    items = source.items()
    assert [item.name for item in items] == ["a.tar/../7.jpg", "a.tar/x/7.jpg", "b.tar/0.png", "b.tar/1.jpg"]
    assert items[0].refused
    assert not items[1].refused
    assert [source.read(item.name) for item in items[1:]] == [b"a7", b"b0", b"b1"]
    assert image_source(tmp_path / "shards").read("b.tar/0.png") == b"b0", "without listing first"
    with pytest.raises(UnreadableImage, match="is not in"):
        source.read("b.tar/9.jpg")
    whole = (tmp_path / "shards" / "b.tar").read_bytes()
    (tmp_path / "shards" / "b.tar").write_bytes(whole[:513])
    with pytest.raises(UnreadableImage, match="has changed since its images were listed"):
        source.read("b.tar/1.jpg")


def test_a_damaged_member_of_a_zip_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpg", bytes(range(256)) * 40)
        archive.writestr("2.jpg", b"two")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    start = content.index(b"1.jpg") + 5
    content[start : start + 20] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(content)
    source = image_source(tmp_path / "a.zip")
    assert [item.name for item in source.items()] == ["1.jpg", "2.jpg"]
    assert source.read("2.jpg") == b"two"
    with pytest.raises(UnreadableImage, match="1.jpg in .*a.zip cannot be read"):
        source.read("1.jpg")
    with pytest.raises(UnreadableImage, match="9.jpg"):
        source.read("9.jpg")


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "outside", 1)
    write_images(tmp_path / "images", 2)
    [secret] = (tmp_path / "outside").iterdir()
    (tmp_path / "images" / "link.jpg").symlink_to(secret)
    inside = min(path for path in (tmp_path / "images").iterdir() if not path.is_symlink())
    (tmp_path / "images" / "zz.jpg").symlink_to(inside)
    source = FolderImages(tmp_path / "images")
    refused = {item.name: item.refused for item in source.items()}
    assert "outside the folder" in refused["link.jpg"]
    assert not refused["zz.jpg"]
    for name in ("link.jpg", "../outside/" + secret.name, str(secret)):
        with pytest.raises(UnreadableImage, match="leads out of"):
            source.read(name)


def test_what_changes_is_another_source(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 3)
    before = stamps(FolderImages(tmp_path / "images").items())
    assert stamps(FolderImages(tmp_path / "images").items()) == before
    first = min((tmp_path / "images").iterdir())
    os.utime(first, ns=(1, 1))
    assert stamps(FolderImages(tmp_path / "images").items()) != before


@pytest.mark.parametrize(("name", "message"), [("a.rar", "no folder"), ("none", "nothing at"), ("a.zip", "zip file"),
                                               ("a.tar", "tar file"), ("a.tar.gz", "gunzip")])  # fmt: skip
def test_what_is_no_source_is_told_so(tmp_path: Path, name: str, message: str) -> None:
    if name != "none":
        (tmp_path / name).write_bytes(b"junk" * 300)
    with pytest.raises(DataError, match=message):
        image_source(tmp_path / name).items()


def test_captions_of_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes("\ufeffone\r\n\n two \nthree\u2028four\none".encode())
    assert text_captions(tmp_path / "c.txt") == ["one", "two", "three\u2028four", "one"]
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        text_captions(tmp_path / "c.txt")
