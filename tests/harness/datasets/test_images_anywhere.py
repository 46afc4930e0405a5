"""Images in a folder, a zip, a tar or a parquet file: the same bytes, the same digest, and nothing that leads out."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decoders.models.images import open_image
from harness.datasets.digests import data_digest
from harness.datasets.images import Images, TarImage
from harness.datasets.karpathy import Karpathy, KarpathyOptions
from harness.datasets.packed import Container
from harness.datasets.paths import expand_braces, find_paths, safe_name
from harness.errors import DataError, UnreadableImage
from harness.suites.examples import read_image
from tests.miniature import (
    add_member,
    files_under,
    image_bytes,
    make_karpathy_coco,
    pack_parquet,
    pack_tar,
    pack_zip,
    write_image,
)

PACKS: dict[str, Callable[[Path], Path]] = {
    "zip": pack_zip,
    "deflated zip": lambda folder: pack_zip(folder, compression=zipfile.ZIP_DEFLATED),
    "tar": pack_tar,
    "parquet": pack_parquet,
}


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    make_karpathy_coco(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(6):
        write_image(tmp_path / "pictures" / f"{number}.jpg", number)
    return tmp_path / "pictures"


def karpathy(folder: Path, images: str | tuple[str, ...], split: str = "test") -> Karpathy:
    places = tuple(map(Path, images)) if isinstance(images, tuple) else Path(images)
    return Karpathy(KarpathyOptions(file=Path("dataset_coco.json"), images=places, split=split), folder)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PACKS)
def test_however_images_are_packed_they_are_the_same(coco: Path, kind: str) -> None:
    packed = PACKS[kind](coco / "val2014")
    try:
        plain = karpathy(coco, ".").examples()
        examples = karpathy(coco, packed.name).examples()
    finally:
        packed_size = packed.stat().st_size
    assert packed_size > 0
    for one, other in zip(plain, examples, strict=True):
        assert one.image is not None
        assert other.image is not None
        assert not isinstance(other.image, Path | bytes)
        assert other.image.name == one.id
        assert read_image(other.image) == read_image(one.image)
        assert np.array_equal(np.asarray(open_image(other.image)), np.asarray(open_image(one.image)))
    assert data_digest(examples) == data_digest(plain)
    again = pickle.loads(pickle.dumps(examples[3].image))  # noqa: S301 - what a worker in another process is sent
    assert again == examples[3].image
    assert {again} == {examples[3].image}
    assert read_image(again) == read_image(plain[3].image)  # type: ignore[arg-type]
    assert len({example.image for example in examples}) == 20


def test_several_places_are_asked_in_turn_and_restval_lies_with_val(coco: Path) -> None:
    pack_zip(coco / "train2014")
    pack_zip(coco / "val2014")
    examples = karpathy(coco, ("train2014.zip", "val2014.zip"), "train").examples()
    assert len(examples) == 40
    where = [Path(str(example.image).split(" in ")[1]).name for example in examples]
    assert where == ["train2014.zip"] * 20 + ["val2014.zip"] * 20
    globbed = karpathy(coco, "*2014.zip", "train").examples()
    braced = karpathy(coco, "{train,val}2014.zip", "train").examples()
    assert data_digest(examples) == data_digest(globbed) == data_digest(braced)


def test_flat_archives_and_flat_folders_will_do(coco: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        for path in files_under(coco / "val2014"):
            archive.write(path, path.name)
    (tmp_path / "dataset_coco.json").write_bytes((coco / "dataset_coco.json").read_bytes())
    assert data_digest(karpathy(tmp_path, "flat.zip").examples()) == data_digest(karpathy(coco, "val2014").examples())


def test_an_image_of_another_folder_is_not_taken_for_it(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / split / "1.jpg", 1 if split == "train" else 2)
    both = Images(tmp_path, (pack_zip(tmp_path / "train").name, pack_zip(tmp_path / "val").name))
    assert read_image(both.find("1.jpg", "val")) == image_bytes(2)
    assert read_image(both.find("val/1.jpg")) == image_bytes(2)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for path in files_under(tmp_path):
            if path.suffix == ".jpg":
                archive.write(path, str(path.relative_to(tmp_path)))
    with pytest.raises(DataError, match=r"holds train/1.jpg and val/1.jpg, and '1.jpg' may be either"):
        Images(tmp_path, "both.zip").find("1.jpg")
    assert read_image(Images(tmp_path, "both.zip").find("1.jpg", "train")) == image_bytes(1)


def test_images_stay_on_disk_until_they_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        for number in range(40):
            archive.writestr(f"{number}.jpg", os.urandom(1 << 20))
    pack = tmp_path / "big.zip"
    with tarfile.open(tmp_path / "big.tar", "w") as tar:
        for number in range(40):
            add_member(tar, f"{number}.jpg", os.urandom(1 << 20))
    tracemalloc.start()
    for place in (pack, tmp_path / "big.tar"):
        images = Images(tmp_path, place.name)
        found = [images.find(f"{number}.jpg") for number in range(40)]
        assert sum(len(read_image(image)) for image in found) == 40 << 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "C:\\x.jpg", "..\\x.jpg", "\\\\host\\x", ""])
def test_names_that_lead_out_are_refused(tmp_path: Path, pictures: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"leads out of its folder; expected a relative name"):
        Images(tmp_path, "pictures").find(name)
    with pytest.raises(DataError, match="leads out"):
        Images(tmp_path, "pictures").find("1.jpg", name or "..")
    if name:
        with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("x"), b"")
            archive.filelist[0].filename = name
            archive.NameToInfo = {name: archive.filelist[0]}
        with tarfile.open(tmp_path / "slip.tar", "w") as tar:
            add_member(tar, name, b"x")
        for slip in ("slip.zip", "slip.tar"):
            with pytest.raises(DataError, match=f"{slip} names the image .* leads out"):
                Images(tmp_path, slip)


def test_safe_names_are_told_by_what_they_lead_to() -> None:
    assert safe_name("./val2014//a b.jpg", "x") == "val2014/a b.jpg"
    assert safe_name("sub\\a.jpg", "x") == "sub/a.jpg"
    assert safe_name("..a.jpg", "x") == "..a.jpg"


def test_links_may_stay_inside_a_folder_but_not_lead_out(tmp_path: Path, pictures: Path) -> None:
    write_image(tmp_path / "secret.jpg", 9)
    (pictures / "inside.jpg").symlink_to(pictures / "1.jpg")
    (pictures / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (pictures / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link").symlink_to(pictures, target_is_directory=True)
    for place in ("pictures", "link"):  # the folder itself may be a link: the user named it
        images = Images(tmp_path, place)
        assert read_image(images.find("inside.jpg")) == image_bytes(1)
        for name in ("outside.jpg", "up/secret.jpg"):
            with pytest.raises(DataError, match=r"is a link that leads out of .*, to .*secret.jpg|leads out of .*, to "):
                images.find(name)


def test_links_in_a_tar_are_no_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("x.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        add_member(tar, "y.jpg", image_bytes(0))
    images = Images(tmp_path, "a.tar")
    with pytest.raises(UnreadableImage, match=r"x.jpg in .*a.tar cannot be read \(there is no such file\)"):
        read_image(images.find("x.jpg"))
    assert read_image(images.find("y.jpg")) == image_bytes(0)


def test_missing_images_fail_when_they_are_read_and_are_named(tmp_path: Path, pictures: Path) -> None:
    for place in ("pictures", pack_zip(pictures).name, pack_tar(pictures).name, "nowhere.zip", "nowhere"):
        missing = Images(tmp_path, place).find("77.jpg")
        with pytest.raises(UnreadableImage, match=r"77\.jpg"):
            open_image(missing)
        with pytest.raises(UnreadableImage, match=r"77\.jpg"):
            read_image(missing)


def test_a_shard_that_is_missing_from_a_pattern_is_named(tmp_path: Path, pictures: Path) -> None:
    for number in (0, 2):
        pack_tar(pictures, tmp_path / f"part-{number:02d}.tar")
    with pytest.raises(DataError, match=r"images: there is no .*part-01\.tar and 1 more of 4"):
        Images(tmp_path, "part-{00..03}.tar")


@pytest.mark.parametrize("kind", ["zip", "tar", "parquet"])
def test_a_damaged_archive_is_named_whole_or_by_its_image(tmp_path: Path, pictures: Path, kind: str) -> None:
    packed = {"zip": pack_zip, "tar": pack_tar, "parquet": pack_parquet}[kind](pictures)
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"pictures\.{kind} .*cannot? be read|that can be read"):
        Images(tmp_path, packed.name)
    if kind == "zip":  # one member is damaged, the list of them is not
        place = content.index(image_bytes(1)) + 40
        packed.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        images = Images(tmp_path, packed.name)
        with pytest.raises(UnreadableImage, match=r"pictures/1.jpg in .* cannot be read \(Bad CRC-32"):
            read_image(images.find("1.jpg"))
        assert read_image(images.find("2.jpg")) == image_bytes(2)


def test_what_cannot_be_read_in_part_is_refused_with_the_way_out(tmp_path: Path, pictures: Path) -> None:
    pack_tar(pictures, tmp_path / "a.tar.gz", mode="w:gz")
    with pytest.raises(DataError, match=r"a.tar.gz is compressed as a whole.*gunzip"):
        Images(tmp_path, "a.tar.gz")
    (tmp_path / "b.txt").write_text("no archive")
    with pytest.raises(DataError, match="expected a folder, a zip, a tar or a parquet file"):
        Images(tmp_path, "b.txt")
    pack_zip(pictures, tmp_path / "c.zip")
    content = bytearray((tmp_path / "c.zip").read_bytes())
    for start in (b"PK\x01\x02", b"PK\x03\x04"):  # set the flag of encryption on every member, in both places
        place = content.find(start)
        while place >= 0:
            content[place + (8 if start == b"PK\x01\x02" else 6)] |= 1
            place = content.find(start, place + 4)
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        Images(tmp_path, "c.zip")


def test_an_archive_that_was_replaced_is_not_read_at_old_offsets(tmp_path: Path, pictures: Path) -> None:
    packed = pack_tar(pictures)
    image = Images(tmp_path, packed.name).find("2.jpg")
    write_image(pictures / "0.jpg", 300)
    (pictures / "00.jpg").write_bytes(os.urandom(5000))
    pack_tar(pictures)
    with pytest.raises(UnreadableImage, match="has changed since its images were listed; run again"):
        read_image(image)
    fresh = Images(tmp_path, packed.name).find("2.jpg")
    assert fresh != image  # so nothing that was remembered of the old one is reused
    packed.unlink()
    with pytest.raises(UnreadableImage, match="put the file back"):
        read_image(fresh)


def test_litter_of_other_systems_is_passed_over(tmp_path: Path, pictures: Path) -> None:
    packed = pack_zip(pictures)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("__MACOSX/pictures/._1.jpg", b"resource fork")
        archive.writestr("pictures/._1.jpg", b"resource fork")
    assert read_image(Images(tmp_path, packed.name).find("1.jpg")) == image_bytes(1)


def test_a_claim_to_be_huge_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 1024)
    image = TarImage(Container.of(tmp_path / "a.tar"), "a.jpg", 0, 1 << 40)
    with pytest.raises(UnreadableImage, match="claims 1,099,511,627,776 bytes"):
        image.read()
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    mild = io.BytesIO()
    Image.new("1", (12000, 12000)).save(mild, "PNG")  # Pillow itself would only warn
    with zipfile.ZipFile(tmp_path / "bombs.zip", "w") as archive:
        archive.writestr("bomb.png", bomb.getvalue())
        archive.writestr("mild.png", mild.getvalue())
    images = Images(tmp_path, "bombs.zip")
    with pytest.raises(UnreadableImage, match=r"bomb.png in .*bombs.zip cannot be read .*decompression bomb"):
        open_image(images.find("bomb.png"))
    with pytest.raises(UnreadableImage, match=r"12,000 x 12,000 pixels and 100,000,000 are the most"):
        open_image(images.find("mild.png"))


def test_parquet_without_names_or_images_says_what_it_lacks(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"caption": ["a"]}), tmp_path / "texts.parquet")
    pq.write_table(pa.table({"image": [image_bytes(0), image_bytes(1)]}), tmp_path / "bare.parquet")
    pq.write_table(pa.table({"image": [image_bytes(0), image_bytes(1)], "image_id": [7, 8]}), tmp_path / "good.parquet")
    with pytest.raises(DataError, match="has the columns caption; expected one with image files"):
        Images(tmp_path, "texts.parquet")
    with pytest.raises(DataError, match="no names that differ; expected one of the columns filename"):
        Images(tmp_path, "bare.parquet")
    assert read_image(Images(tmp_path, "good.parquet").find("8")) == image_bytes(1)


def test_patterns_count_as_shells_do(tmp_path: Path) -> None:
    assert expand_braces("s-{008..011}.tar") == ["s-008.tar", "s-009.tar", "s-010.tar", "s-011.tar"]
    assert expand_braces("{a,b}/{0..1}.tar") == ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]
    assert expand_braces("plain{x}.tar") == ["plain{x}.tar"]
    for pattern in ("{5..1}.tar", "{0..99999999}.tar"):
        with pytest.raises(DataError, match="expected a range that goes up"):
            expand_braces(pattern)
    assert find_paths(tmp_path, "*.tar") == ([], [tmp_path / "*.tar"])
