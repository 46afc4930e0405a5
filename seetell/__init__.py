"""SeeTell in Python: decode images, score texts, run suites, read and compare results.

```python
import seetell

seetell.decode("magic", "a.jpg", language_model="hf:gpt2", image_text="open_clip:ViT-B-32-quickgelu@openai")
seetell.score(["a dog runs"], ["a dog is running"], metrics=["rouge-l"])
seetell.run("my.toml", only=["magic"], limit=20)
seetell.results("results").scores()
seetell.compare("my-images/magic", "my-images/mild")
```

The classes that a plug-in derives from are here too, so a plug-in imports `seetell` alone. Each name is imported when it is first
used: `import seetell` loads no torch. The names of `__all__` are stable; everything below them may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decoders.base import Decoder, DecoderConfig, Generation, Limits, Need, Prompt
    from decoders.errors import PromptTooLong, SeeTellError, UnreadableImage
    from decoders.loop import Candidates, Step, StepDecoder
    from decoders.models.images import open_image
    from decoders.models.loaded import Models
    from harness.compare.runs import Comparison
    from harness.datasets.base import Dataset, DatasetOptions
    from harness.errors import DataError, MetricError
    from harness.metrics.base import Metric, MetricConfig, Output, mean_over_texts
    from harness.metrics.score import Score
    from harness.suites.examples import Example, Failure, Sample
    from harness.suites.provenance import Signature
    from harness.suites.spec import Suite
    from seetell.decoding import decode
    from seetell.running import Run, Runs, run
    from seetell.scoring import Scores, score
    from seetell.stored import Compared, ResultsFolder, compare, results

__all__ = [
    "Candidates",
    "Compared",
    "Comparison",
    "DataError",
    "Dataset",
    "DatasetOptions",
    "Decoder",
    "DecoderConfig",
    "Example",
    "Failure",
    "Generation",
    "Limits",
    "Metric",
    "MetricConfig",
    "MetricError",
    "Models",
    "Need",
    "Output",
    "Prompt",
    "PromptTooLong",
    "ResultsFolder",
    "Run",
    "Runs",
    "Sample",
    "Score",
    "Scores",
    "SeeTellError",
    "Signature",
    "Step",
    "StepDecoder",
    "Suite",
    "UnreadableImage",
    "compare",
    "decode",
    "mean_over_texts",
    "open_image",
    "results",
    "run",
    "score",
]

_HOMES = {
    "decoders.base": ("Decoder", "DecoderConfig", "Generation", "Limits", "Need", "Prompt"),
    "decoders.errors": ("PromptTooLong", "SeeTellError", "UnreadableImage"),
    "decoders.loop": ("Candidates", "Step", "StepDecoder"),
    "decoders.models.images": ("open_image",),
    "decoders.models.loaded": ("Models",),
    "harness.compare.runs": ("Comparison",),
    "harness.datasets.base": ("Dataset", "DatasetOptions"),
    "harness.errors": ("DataError", "MetricError"),
    "harness.metrics.base": ("Metric", "MetricConfig", "Output", "mean_over_texts"),
    "harness.metrics.score": ("Score",),
    "harness.suites.examples": ("Example", "Failure", "Sample"),
    "harness.suites.provenance": ("Signature",),
    "harness.suites.spec": ("Suite",),
    "seetell.decoding": ("decode",),
    "seetell.running": ("Run", "Runs", "run"),
    "seetell.scoring": ("Scores", "score"),
    "seetell.stored": ("Compared", "ResultsFolder", "compare", "results"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'seetell' has no public name {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
