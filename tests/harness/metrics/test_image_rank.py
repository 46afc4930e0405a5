"""Image-text rank: against sorting by hand, with ties, shared images and images that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decoders.models.image_text import ImageTextModel
from decoders.models.load import load_image_text
from decoders.models.loaded import Models
from harness.errors import MetricUnavailable, NeedMissing
from harness.metrics.image_rank import ImageRank, ImageRankConfig
from harness.suites.examples import Example, Failure, Sample
from harness.suites.provenance import Signature
from tests.harness.metrics.bad_texts import BAD


@pytest.fixture(scope="module")
def model(clip_folder: Path) -> ImageTextModel:
    return load_image_text(f"local-dir:{clip_folder}")


TEXTS = ("a red boat", "two dogs in the grass", "A café", "", "a house under a tree")


def samples(images: list[Path]) -> list[Sample]:
    return [Sample(Example(str(i), image=image), text=TEXTS[i % len(TEXTS)]) for i, image in enumerate(images)]


def scorer(model: ImageTextModel | None, **options: object) -> ImageRank:
    return ImageRank(ImageRankConfig.model_validate(options), Models(None, model))


@pytest.mark.parametrize("prefix", ["", "A photo depicts "])
def test_equals_sorting_by_hand(model: ImageTextModel, image_files: list[Path], prefix: str) -> None:
    given = samples(image_files)
    metric = scorer(model, prefix=prefix)
    rows = metric.rows(given)
    pool = model.image_features(image_files).double().numpy()
    ranks = []
    for i, sample in enumerate(given):
        cosine = pool @ model.text_features([prefix + sample.text])[0].double().numpy()
        order = sorted(range(len(pool)), key=lambda place: -cosine[place])
        ranks.append(1 + order.index(i))
    expected = [[rank == 1, rank <= 5, 1 / rank, 1] for rank in ranks]
    np.testing.assert_allclose(rows, expected)
    assert len(set(ranks)) > 4
    np.testing.assert_allclose(metric.finalise(rows.sum(axis=0)), np.mean(expected, axis=0)[:3])


def test_blocks_do_not_matter(model: ImageTextModel, image_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scorer(model).rows(samples(image_files))
    monkeypatch.setattr("harness.metrics.image_rank._BLOCK", 5)
    np.testing.assert_allclose(scorer(model).rows(samples(image_files)), whole)


def test_ties_count_against(model: ImageTextModel, image_files: list[Path]) -> None:
    """Four copies of one image cannot be told apart: the own one comes last of them."""
    copies = [image_files[0].read_bytes() + b"\0" * n for n in range(1, 4)]
    given = [Sample(Example(str(i), image=image), text="a") for i, image in enumerate([image_files[0], *copies])]
    np.testing.assert_allclose(scorer(model).rows(given), [[0, 1, 1 / 4, 1]] * 4)


def test_examples_may_share_an_image_and_an_image_several_draws(model: ImageTextModel, image_files: list[Path]) -> None:
    given = samples(image_files)
    whole = scorer(model).rows(given)
    again = [Sample(Example("again", image=each.example.image), 1, each.text) for each in given]
    np.testing.assert_allclose(scorer(model).rows([*given, *again]), [*whole, *whole])


def test_failures_choose_nothing_but_their_images_stay_in_the_pool(model: ImageTextModel, image_files: list[Path]) -> None:
    given = samples(image_files)
    metric = scorer(model)
    whole = metric.rows(given)
    signature = str(metric.signature())
    given[2] = Sample(given[2].example, failure=Failure("E", "no"))
    torn = [Sample(Example("torn", image=b"no image"), text="a"), Sample(Example("blind"), text="a")]
    rows = metric.rows([*given, *torn])
    kept = [i for i in range(len(image_files)) if i != 2]
    np.testing.assert_allclose(rows[kept], whole[kept])
    assert np.isnan(rows[[2, -1, -2]]).all()
    assert str(metric.signature()) == signature
    assert dict(metric.signature().fields)["pool"] == str(len(image_files))


def test_bad_texts_have_a_rank(model: ImageTextModel, image_files: list[Path]) -> None:
    texts = [text for name, text in BAD.items() if name != "half a surrogate pair"]
    given = [Sample(Example(str(i), image=image_files[i]), text=text) for i, text in enumerate(texts)]
    assert np.isfinite(scorer(model).rows(given)).all()


def test_says_what_is_missing(model: ImageTextModel, image_files: list[Path]) -> None:
    with pytest.raises(MetricUnavailable, match="1 can be read"):
        scorer(model).rows([*samples(image_files[:1]), Sample(Example("torn", image=b"no"), text="a")])
    with pytest.raises(NeedMissing):
        scorer(None).rows(samples(image_files))


def test_signature(model: ImageTextModel, image_files: list[Path]) -> None:
    metric = scorer(model, prefix="a|b: ")
    metric.rows(samples(image_files))
    assert Signature.parse(str(metric.signature())) == metric.signature()
    metric.rows(samples(image_files[:5]))
    assert dict(metric.signature().fields)["pool"] == "5"
