"""MAUVE: how near the distribution of the texts is to that of the references (Pillutla et al. 2021, arXiv 2102.01454).

Both are features of a language model, sorted into the buckets of a codebook (k-means) that is fitted to them; MAUVE is the
area under the curve of the two histograms' divergences from their mixtures. The recipe is that of the program mauve-text, and
so are the values. Three things are done otherwise: several codebooks instead of one, since the value moves with the seed of
k-means; the curve is walked in the order of its mixtures, so that equal histograms give 1 (sorting its points does not, where
they tie); and small or degenerate samples are refused, which would get a flattering number.

Rows are counts of buckets, so histograms are their sums. A codebook is fitted to all texts of a run: intervals from resampled
rows would not know that, and are refused. Two runs are compared on one codebook that is fitted to both of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import rel_entr

from decoders.base import Need
from decoders.models.loaded import Models
from harness.errors import MetricError, MetricUnavailable
from harness.metrics.base import Metric, MetricConfig, Output, Resampling
from harness.suites.examples import Sample
from harness.suites.provenance import Signature, model_field

FEWEST = 100
"""Texts a side below which there is no value: 20 texts of any kind get about 0.99."""
FEW = 500
"""Texts a side below which a value flatters; it is marked."""
SEED = 25
"""Of the first codebook, mauve-text's own."""
SCALE = 5.0
"""The constant c of the paper: exp(-c KL)."""
POINTS = 25
"""Mixtures on the curve."""
VARIANCE = 0.9
"""Share of the features' variance that the principal components keep."""
TRIES, STEPS = 5, 500
"""Of k-means: starts, of which the best is kept, and iterations."""

_CHUNK = 2**22
"""Numbers of a histogram that are worked on at once."""

Floats = NDArray[np.float64]


class MauveConfig(MetricConfig):
    """Whose features, how much of a text, how many codebooks."""

    model: str = "hf:openai-community/gpt2-large"
    """The language model whose features are compared, `hf:org/name@revision`, `local:folder`; GPT-2 large as published."""
    max_tokens: int = Field(default=256, ge=1)
    """Tokens of a text that count, from its beginning; the model's context may leave fewer."""
    cut: Literal["pair", "max"] = "pair"
    """`pair`: a text and its reference are both cut to the shorter of the two, as for the published story tables; without it
    the value is mostly about length. `max`: both to `max_tokens` only."""
    seeds: int = Field(default=5, ge=5, le=50)
    """Codebooks, each from its own seed; the value is the mean over them."""
    buckets: int | None = Field(default=None, ge=2)
    """Of a codebook; a tenth of the texts by default. More buckets, lower values."""

    def own_models(self) -> Mapping[Need, str]:
        """The featuriser."""
        return {Need.LM: self.model} if self.model else {}


class Mauve(Metric):
    """MAUVE over several codebooks: the mean, and the standard deviation that the seed of k-means alone makes.

    Every text is paired with the first reference of its example. Values compare only at equal numbers of texts: fewer texts
    give higher ones.
    """

    Config = MauveConfig
    config: MauveConfig
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LM})
    needs_references = True
    resampling: ClassVar[Resampling] = "paired-only"
    no_interval: ClassVar[str] = (
        "the codebook is fitted to the texts, and resampling their buckets would take it for given: such an interval misses "
        "the value it is for. Compare two runs by permutation (seetell compare), and see the standard deviation over codebooks"
    )

    def __init__(self, config: MetricConfig, models: Models) -> None:
        super().__init__(config, models)
        self._fitted: _Fitted | None = None

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The mean over codebooks, and the standard deviation between them."""
        return (Output("mauve", higher_is_better=True, percent=False), Output("mauve-sd", higher_is_better=None, percent=False))

    def rows(self, samples: Sequence[Sample]) -> Floats:
        """Which bucket the reference is in and which the text, for each codebook: `[n, 2 * seeds * buckets]` of 0 and 1.

        NaN for failed samples, empty texts, and examples without a reference.

        Raises:
            NeedMissing: neither the metric nor the suite names a language model.
            MetricUnavailable: scikit-learn is not installed, no example has references, or there are too few texts.
            MetricError: the features are not finite, or all the same.
        """
        return self.joint_rows([samples])[0]

    def joint_rows(self, runs: Sequence[Sequence[Sample]]) -> list[Floats]:
        """As `rows`, on one codebook for all runs.

        Which run said a text does not enter the codebook, not even by the order of its rows, so under the hypothesis that two
        runs are alike, exchanging what they said to an example changes nothing but the assignment: what a permutation test
        asks for.

        Raises:
            MetricError: as `rows`; or the runs have other references.
        """
        if find_spec("sklearn") is None or find_spec("threadpoolctl") is None:
            raise MetricUnavailable("MAUVE needs scikit-learn and threadpoolctl; install them: pip install 'seetell[metrics]'")
        _check_references(runs)
        pairs = [[self._pair(sample) for sample in samples] for samples in runs]
        flat = [pair for run in pairs for pair in run if pair]
        reference_keys = sorted({(pair.example, pair.reference) for pair in flat})
        texts = sorted((pair.example, pair.text) for pair in flat)
        fewest = min(len(reference_keys), *(sum(pair is not None for pair in run) for run in pairs))
        if fewest < FEWEST:
            raise MetricUnavailable(
                f"MAUVE compares distributions, and {fewest} texts do not make one; it takes {FEWEST}, better {FEW} or more"
            )
        # Equal token sequences get one vector, and rows are sorted by example and text before k-means sees them: the order of
        # its input moves its result, and must say nothing about which run said what.
        distinct = sorted({ids for _, ids in (*reference_keys, *texts)})
        vectors = dict(zip(distinct, self._features(distinct), strict=True))
        buckets = self.config.buckets or max(2, round(fewest / 10))
        p, q = (np.stack([vectors[ids] for _, ids in side]) for side in (reference_keys, texts))
        books = codebooks(p, q, buckets, range(SEED, SEED + self.config.seeds))
        of_reference = {key: books.p[:, place] for place, key in enumerate(reference_keys)}
        of_text = {key: books.q[:, place] for place, key in enumerate(texts)}  # equal texts share a bucket
        self._fitted = _Fitted(fewest, buckets, joint=len(runs) > 1)
        return [
            np.stack([self._row(pair, of_reference, of_text, buckets) for pair in run]) if run else np.empty((0, 0))
            for run in pairs
        ]

    def finalise(self, sums: Floats) -> Floats:
        """MAUVE of the summed counts: mean and standard deviation (n - 1) over codebooks."""
        seeds = self.config.seeds
        counts = sums.reshape(*sums.shape[:-1], 2, seeds, -1)
        values = mauve(counts[..., 0, :, :], counts[..., 1, :, :])
        return np.stack([values.mean(axis=-1), values.std(axis=-1, ddof=1)], axis=-1)

    def caution(self) -> str:
        """A warning below 500 texts."""
        if self._fitted is None or self._fitted.n >= FEW:
            return ""
        return (
            f"MAUVE of {self._fitted.n} texts is higher than it would be of more; below {FEW} it is a rough hint, to be compared "
            "at equal numbers only"
        )

    def signature(self) -> Signature:
        """Features, cutting, codebooks, numbers of texts and buckets."""
        lm, seeds, fitted = self.models.lm, self.config.seeds, self._fitted
        fields: dict[str, object] = {
            "lm": model_field(lm.name, lm.digest),
            "dt": lm.dtype,
            "cut": self.config.cut,
            "max": self._limit(),
            "seeds": f"{SEED}-{SEED + seeds - 1}",
            "c": SCALE,
            "pca": VARIANCE,
            "ties": "walked",
        }
        if fitted:
            fields |= {"k": fitted.buckets, "codebook": "joint" if fitted.joint else "own", "n": fitted.n}
        return Signature.of("mauve", fields)

    def _limit(self) -> int:
        return min(self.config.max_tokens, self.models.lm.room(0))

    def _pair(self, sample: Sample) -> _Pair | None:
        """A text and its reference as the model is to read them."""
        from decoders.models.reading import plain_ids

        lm, limit = self.models.lm, self._limit()
        reference = next((text for text in sample.example.references if text.strip()), "")
        if sample.failure is not None or not sample.text.strip() or not reference:
            return None
        text_ids, reference_ids = plain_ids(lm, sample.text)[:limit], plain_ids(lm, reference)[:limit]
        if self.config.cut == "pair":
            shorter = min(len(text_ids), len(reference_ids))
            text_ids, reference_ids = text_ids[:shorter], reference_ids[:shorter]
        return _Pair(sample.example.id, tuple(reference_ids), tuple(text_ids)) if text_ids and reference_ids else None

    def _features(self, texts: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        from decoders.models.reading import last_vectors

        return last_vectors(self.models.lm, texts)

    def _row(self, pair: _Pair | None, of_reference: _Labels, of_text: _Labels, buckets: int) -> Floats:
        seeds = self.config.seeds
        if pair is None:
            return np.full(2 * seeds * buckets, np.nan)
        counts = np.zeros((2, seeds, buckets))
        all_seeds = np.arange(seeds)
        counts[0, all_seeds, of_reference[pair.example, pair.reference]] = 1
        counts[1, all_seeds, of_text[pair.example, pair.text]] = 1
        return counts.ravel()


@dataclass(frozen=True, slots=True)
class _Pair:
    """Token ids of a text and of its reference."""

    example: str
    reference: tuple[int, ...]
    text: tuple[int, ...]


_Labels = Mapping[tuple[str, tuple[int, ...]], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What only the data could tell."""

    n: int
    buckets: int
    joint: bool


@dataclass(frozen=True, slots=True)
class Codebooks:
    """The bucket of every feature vector under several codebooks."""

    p: NDArray[np.int64]
    """`[codebooks, n_p]`."""
    q: NDArray[np.int64]
    """`[codebooks, n_q]`."""


def codebooks(p: NDArray[Any], q: NDArray[Any], buckets: int, seeds: Sequence[int]) -> Codebooks:
    """Sort features into buckets, once a seed.

    Unit vectors, principal components up to 90 % of the variance, k-means (Pillutla et al. 2021, section 4 and appendix C).

    Args:
        p: features of the references, `[n_p, d]`.
        q: features of the texts, `[n_q, d]`.
        buckets: of each codebook.
        seeds: as mauve-text counts them.

    Raises:
        MetricError: features that are not finite, or all the same.
    """
    import faiss
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    features = np.vstack([q, p])
    if not np.isfinite(features).all():
        raise MetricError("the features of some texts are not finite, so MAUVE has nothing to compare; use float32 weights")
    features = normalize(features, norm="l2", axis=1)
    if np.ptp(features, axis=0).max() < 1e-6:
        raise MetricError("all texts have the same features, so there is no distribution to compare; try another model")
    # With more threads than free cores OpenBLAS takes a hundred times as long here, and so do k-means' own threads; one thread
    # also adds numbers up in the same order on every machine.
    with threadpool_limits(1):
        components = PCA(n_components=None).fit(features)
        kept = int(np.argmax(np.cumsum(components.explained_variance_ratio_) >= VARIANCE)) + 1
        data = np.ascontiguousarray(components.transform(features)[:, :kept], np.float32)
        labels = []
        for seed in seeds:
            # One point a bucket is enough for k-means not to write warnings past Python onto the terminal.
            means = faiss.Kmeans(
                kept, buckets, niter=STEPS, nredo=TRIES, update_index=True, seed=seed + 2, min_points_per_centroid=1
            )
            means.train(data)
            labels.append(means.index.search(data, 1)[1].reshape(-1))
    cluster_ids = np.stack(labels).astype(np.int64)
    return Codebooks(cluster_ids[:, len(q) :], cluster_ids[:, : len(q)])


def mauve(p: Floats, q: Floats) -> Floats:
    """MAUVE of histograms: `[..., buckets]` of counts or shares, to `[...]`; NaN where one is empty.

    For each mixture r = w p + (1 - w) q there is a point exp(-c KL(q|r)), exp(-c KL(p|r)); the curve goes from (1, 0) to (0, 1)
    and the value is the mean of the areas below it, seen from either axis, by trapezia (equations 1 and 2 of the paper).
    """
    shape = p.shape[:-1]
    p, q = p.reshape(-1, p.shape[-1]), q.reshape(-1, q.shape[-1])
    step = max(1, _CHUNK // max(1, p.shape[-1]))
    parts = [_mauve(p[start : start + step], q[start : start + step]) for start in range(0, len(p), step)]
    return np.concatenate(parts).reshape(shape) if parts else np.empty(shape)


def _mauve(p: Floats, q: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    x, y = [np.ones(len(p))], [np.zeros(len(p))]
    for w in np.linspace(1e-6, 1 - 1e-6, POINTS):
        mixture = w * p + (1 - w) * q
        x.append(np.exp(-SCALE * rel_entr(q, mixture).sum(axis=-1)))
        y.append(np.exp(-SCALE * rel_entr(p, mixture).sum(axis=-1)))
    x.append(np.zeros(len(p)))
    y.append(np.ones(len(p)))
    across, up = np.stack(x), np.stack(y)
    right = ((up[1:] + up[:-1]) / 2 * (across[:-1] - across[1:])).sum(axis=0)
    above = ((across[1:] + across[:-1]) / 2 * (up[1:] - up[:-1])).sum(axis=0)
    return np.asarray((right + above) / 2)


def _check_references(runs: Sequence[Sequence[Sample]]) -> None:
    references: dict[str, tuple[str, ...]] = {}
    for samples in runs:
        for sample in samples:
            known = references.setdefault(sample.example.id, sample.example.references)
            if known != sample.example.references:
                raise MetricError(
                    f"the runs have different references for example {sample.example.id!r}; run both on one version of the data"
                )
    if references and not any(text.strip() for texts in references.values() for text in texts):
        raise MetricUnavailable("MAUVE compares texts with references, and no example has any; give references")
