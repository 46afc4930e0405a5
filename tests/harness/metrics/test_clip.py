"""CLIPScore with a real, tiny model: against the definition, worked out one pair at a time with open_clip itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from decoders.models.image_text import ImageTextModel, open_image
from decoders.models.load import load_image_text
from decoders.models.loaded import Models
from harness.errors import MetricUnavailable, NeedMissing
from harness.metrics.clip import ClipScore, ClipScoreConfig
from harness.suites.examples import Example, Failure, Sample

TEXTS = ("a red boat on the sea", "", "two dogs in the grass", "a house under a tree " * 30, "A Café, naïve!")


@pytest.fixture(scope="module")
def model(clip_folder: Path) -> ImageTextModel:
    return load_image_text(f"local-dir:{clip_folder}", dtype="float32", device="cpu")


def pairs(images: list[Path]) -> list[Sample]:
    return [Sample(Example(str(i), image=image), text=TEXTS[i % len(TEXTS)]) for i, image in enumerate(images)]


def scorer(model: ImageTextModel, **options: object) -> ClipScore:
    return ClipScore(ClipScoreConfig.model_validate(options), Models(None, model))


@torch.no_grad()
def cosine_by_hand(folder: Path, image: Path, text: str) -> float:
    import open_clip

    source = f"local-dir:{folder}"
    whole, preprocess = open_clip.create_model_from_pretrained(source)
    whole.eval()
    seen = whole.encode_image(preprocess(open_image(image))[None]).double()
    said = whole.encode_text(open_clip.get_tokenizer(source)([text])).double()
    return float((seen @ said.T) / (seen.norm() * said.norm()))


def test_equals_the_definition(model: ImageTextModel, clip_folder: Path, image_files: list[Path]) -> None:
    samples = pairs(image_files[:5])
    rows = scorer(model).rows(samples)
    for row, sample in zip(rows, samples, strict=True):
        assert isinstance(sample.example.image, Path)
        cosine = cosine_by_hand(clip_folder, sample.example.image, "A photo depicts " + sample.text)
        np.testing.assert_allclose(row, [2.5 * max(cosine, 0), cosine, 1], atol=2e-5)


def test_negative_cosines_are_cut_for_each_text_and_not_after_averaging(model: ImageTextModel, image_files: list[Path]) -> None:
    samples = pairs(image_files)
    metric = scorer(model)
    rows = metric.rows(samples)
    assert (rows[:, 1] < 0).any(), "the test needs pairs that do not fit"
    assert (rows[:, 1] > 0).any()
    score, cosine = metric.finalise(rows.sum(axis=0))
    assert score == pytest.approx(2.5 * np.mean(np.maximum(rows[:, 1], 0)))
    assert cosine == pytest.approx(np.mean(rows[:, 1]))


def test_batches_and_order_do_not_matter(model: ImageTextModel, image_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = pairs(image_files)
    whole = scorer(model).rows(samples)
    monkeypatch.setattr("harness.metrics.clip._BATCH", 3)
    parts = scorer(model).rows(samples[::-1])
    np.testing.assert_allclose(parts[::-1], whole, atol=1e-5)


def test_bytes_and_files_and_draws_score_alike(model: ImageTextModel, image_files: list[Path]) -> None:
    image = image_files[0]
    given = [Sample(Example("a", image=source), draw, TEXTS[0]) for source in (image, image.read_bytes()) for draw in (0, 1)]
    rows = scorer(model).rows(given)
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-6)


def test_unreadable_images_and_failures_are_unscored_and_move_nobody_else(
    model: ImageTextModel, image_files: list[Path], tmp_path: Path
) -> None:
    samples = pairs(image_files)
    whole = scorer(model).rows(samples)
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    samples[2] = Sample(Example("torn", image=torn), text="a cat")
    samples[5] = Sample(samples[5].example, failure=Failure("UnreadableImage", "gone"))
    samples[7] = Sample(Example("gone", image=tmp_path / "gone.jpg"), text="a cat")
    samples[9] = Sample(Example("blind"), text="a cat")
    rows = scorer(model).rows(samples)
    lost = [2, 5, 7, 9]
    assert np.isnan(rows[lost]).all()
    kept = np.setdiff1d(np.arange(len(samples)), lost)
    np.testing.assert_allclose(rows[kept], whole[kept], atol=1e-5)


def test_all_images_unreadable_is_no_crash(model: ImageTextModel, tmp_path: Path) -> None:
    rows = scorer(model).rows([Sample(Example(str(i), image=tmp_path / f"{i}.png"), text="a") for i in range(3)])
    assert np.isnan(rows).all()


def test_says_what_is_missing(model: ImageTextModel, image_files: list[Path]) -> None:
    with pytest.raises(NeedMissing):
        ClipScore(ClipScoreConfig(), Models()).rows(pairs(image_files))
    with pytest.raises(MetricUnavailable, match="image"):
        scorer(model).rows([Sample(Example("a"), text="a story")])


def test_signature_names_what_moves_the_value(model: ImageTextModel) -> None:
    plain = str(scorer(model).signature())
    assert model.digest[:8] in plain
    assert "w:2.5" in plain
    assert len({plain, str(scorer(model, w=1.0).signature()), str(scorer(model, prefix="").signature())}) == 3


@torch.no_grad()
def test_pixels_as_open_clip_makes_them_of_the_file(model: ImageTextModel, clip_folder: Path, tmp_path: Path) -> None:
    """As `clipscore.py` opens images: a transparent picture keeps the colours that nobody sees, and nothing is turned."""
    import open_clip
    from PIL import Image

    picture = Image.effect_noise((40, 24), 90).convert("RGB")
    picture.putalpha(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "hidden.png", exif=exif)
    sample = Sample(Example("a", image=tmp_path / "hidden.png"), text="a red boat")
    whole, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{clip_folder}")
    seen = whole.eval().encode_image(preprocess(Image.open(tmp_path / "hidden.png"))[None]).double()
    said = whole.encode_text(open_clip.get_tokenizer(f"local-dir:{clip_folder}")(["A photo depicts a red boat"])).double()
    cosine = float((seen @ said.T) / (seen.norm() * said.norm()))
    metric, default = scorer(model, pixels="as-open_clip"), scorer(model)
    np.testing.assert_allclose(metric.rows([sample])[0, 1], cosine, atol=2e-5)
    assert abs(default.rows([sample])[0, 1] - cosine) > 1e-4
    assert "|pixels:as-open_clip|" in str(metric.signature())
    assert "pixels" not in str(default.signature()) + default.config.model_dump_json()
    np.testing.assert_allclose(metric.rows([sample])[0, 1], cosine, atol=2e-5)  # each kind is remembered by itself
