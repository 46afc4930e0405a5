"""RefCLIPScore with a real, tiny model, against the definition and with references that were encoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decoders.models.image_text import ImageTextModel
from decoders.models.load import load_image_text
from decoders.models.loaded import Models
from harness.errors import MetricUnavailable, NeedMissing
from harness.metrics.clip import ClipScore, ClipScoreConfig
from harness.metrics.refclip import RefClipScore, harmonic_mean
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature
from tests.checkpoints import captions_of

PREFIX = "A photo depicts "


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model(clip_folder: Path) -> ImageTextModel:
    return load_image_text(f"local-dir:{clip_folder}")


def samples(images: list[Path]) -> list[Sample]:
    return [
        Sample(Example(image.name, image=image, references=tuple(captions_of(i, 2 + i % 3))), text=captions_of(i + 1)[1])
        for i, image in enumerate(images)
    ]


def scorer(model: ImageTextModel | None, **options: object) -> RefClipScore:
    return RefClipScore(ClipScoreConfig.model_validate(options), Models(None, model))


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(0.0, 0.0, 0.0), (0.0, 0.7, 0.0), (0.5, 0.5, 0.5), (1.5, 0.5, 0.75), (0.2, 0.8, 0.32)]
)
def test_harmonic_mean(one: float, other: float, expected: float) -> None:
    assert harmonic_mean(one, other) == pytest.approx(expected)


def test_equals_the_definition(model: ImageTextModel, image_files: list[Path]) -> None:
    given = samples(image_files)
    rows = scorer(model).rows(given)
    negative = 0
    for row, sample in zip(rows, given, strict=True):
        assert isinstance(sample.example.image, Path)
        image = model.image_features([sample.example.image])[0].double().numpy()
        text = model.text_features([PREFIX + sample.text])[0].double().numpy()
        references = model.text_features([PREFIX + each for each in sample.example.references]).double().numpy()
        clips, best = 2.5 * max(float(image @ text), 0), max(float(np.max(references @ text)), 0)
        negative += image @ text < 0
        expected = 2 * clips * best / (clips + best) if clips + best else 0.0
        np.testing.assert_allclose(row, [expected, 1], atol=1e-5)
    assert 0 < negative < len(given), "the test needs pairs that fit and pairs that do not"
    assert scorer(model).finalise(rows.sum(axis=0))[0] == pytest.approx(rows[:, 0].mean())


def test_a_text_unlike_its_references_gets_nothing_and_no_negative_score(
    model: ImageTextModel, image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published program does not cut the cosine of texts: (0.2, -0.1) gives -0.4 there."""
    seen = ClipScore(ClipScoreConfig(), Models(None, model)).rows(samples(image_files))[:, 0]
    fits = samples(image_files)[int(seen.argmax())]
    assert seen.max() > 0.1, "the test needs a text that fits its image"
    away = -0.05 * model.text_features([PREFIX + fits.text]).numpy()
    monkeypatch.setattr(
        "harness.datasets.index.captions.text_features", lambda texts, model, cache: np.repeat(away, len(texts), 0)
    )
    np.testing.assert_array_equal(scorer(model).rows([fits]), [[0, 1]])


def test_references_are_encoded_once_for_all_systems(
    model: ImageTextModel, image_files: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = samples(image_files)
    first = scorer(model).rows(given)
    assert len(list(cache.rglob("*.npy"))) == 1
    encoded: list[str] = []
    whole = ImageTextModel.text_features
    monkeypatch.setattr(ImageTextModel, "text_features", lambda self, texts: encoded.extend(texts) or whole(self, texts))
    np.testing.assert_array_equal(scorer(model).rows(given), first)
    other = [Sample(each.example, text="Another system's caption.") for each in given[::-1]]
    scorer(model).rows(other)
    said = {PREFIX + each.text for each in [*given, *other]}
    assert set(encoded) == said, "only what the systems said was encoded again"
    scorer(model, prefix="").rows(given)
    assert len(list(cache.rglob("*.npy"))) == 2


def test_draws_failures_and_missing_references(model: ImageTextModel, image_files: list[Path]) -> None:
    given = samples(image_files)
    whole = scorer(model).rows(given)
    given += [Sample(given[0].example, 1, given[0].text), Sample(given[1].example, 1, failure=Failure("E", "no"))]
    given.append(Sample(Example("bare", image=image_files[0], references=(" ",)), text="a"))
    given.append(Sample(Example("torn", image=b"no image", references=("a",)), text="a"))
    rows = scorer(model).rows(given)
    np.testing.assert_allclose(rows[: len(whole)], whole, atol=1e-5)
    np.testing.assert_allclose(rows[-4], whole[0], atol=1e-5)
    assert np.isnan(rows[-3:]).all()


def test_says_what_is_missing(model: ImageTextModel, image_files: list[Path]) -> None:
    with pytest.raises(MetricUnavailable, match="references"):
        scorer(model).rows([Sample(Example("a", image=image_files[0]), text="a")])
    with pytest.raises(MetricUnavailable, match="image"):
        scorer(model).rows([Sample(Example("a", references=("b",)), text="a")])
    with pytest.raises(NeedMissing):
        scorer(None).rows(samples(image_files))


def test_signature(model: ImageTextModel) -> None:
    signature = scorer(model).signature()
    assert Signature.parse(str(signature)) == signature
    assert signature.metric == "refclipscore"
    assert [key for key, _ in signature.fields].count("v") == 1
    plain = dict(ClipScore(ClipScoreConfig(), Models(None, model)).signature().fields)
    assert plain.items() <= dict(signature.fields).items()
