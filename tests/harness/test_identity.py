"""What a run's identity covers: a plug-in's code, the arithmetic around it, and the bytes of each image when it was read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from decoders.base import Generation, Prompt
from decoders.errors import UnreadableImage
from harness.decode.executor import Job, Worker
from harness.decode.experiment import Experiment
from harness.decode.planned_image import PlannedImage
from harness.decode.run import decode
from harness.errors import BrokenPlugin, DataError, DecoderFailed
from harness.metrics.evaluate import due_metrics
from harness.metrics.score import Score
from harness.store.runs import Results
from harness.suites import registry
from harness.suites.code import Code, code_changes
from harness.suites.spec import ModelPin, Suite
from tests.harness.scored_runs import METRIC
from tests.harness.test_run import EXAMPLES, home, run, sample_bytes  # noqa: F401
from tests.harness.test_spec import spec
from tests.plugins import ECHO, install

FILES = """
import sys
from pathlib import Path
from harness.decode.experiment import Experiment
from harness.decode.run import decode
from harness.store.runs import Results
from harness.suites.spec import ModelPin, Suite
suite = Suite.load("mine.toml")
outcome = decode(Experiment(suite).plan("echo"), suite, Results(Path("results")), limit=int(sys.argv[1]))
print(outcome.folder.path.name, outcome.fresh, outcome.sentence(), sep="|")
"""


def in_process_of_its_own(folder: Path, limit: int) -> tuple[str, int, str]:
    """A run as the next command makes it: with the plug-in as it lies on disk now."""
    path = ":".join([str(folder / "site"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", FILES, str(limit)],
        cwd=folder, env={"PYTHONPATH": path, "PATH": "", "SEETELL_CACHE": "cache"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    name, fresh, sentence = done.stdout.strip().split("|")
    return name, int(fresh), sentence


def edit(folder: Path, old: str, new: str) -> None:
    [module] = (folder / "site").glob("*.py")
    source = module.read_text()
    assert old in source
    module.write_text(source.replace(old, new))


def test_an_edited_plug_in_is_decoded_anew_and_never_mixed_with_old_texts(home: Path) -> None:  # noqa: F811
    first, decoded, _ = in_process_of_its_own(home, 15)
    assert decoded == 30
    assert in_process_of_its_own(home, 15)[:2] == (first, 0), "the same code resumes the same run"
    edit(home, "{self.config.word} {prompt.text}", "{self.config.word}! {prompt.text}")
    second, decoded, sentence = in_process_of_its_own(home, EXAMPLES)
    assert second != first
    assert decoded == 2 * EXAMPLES
    assert f"is not that of {first}: the source of echo 1.0 was edited" in sentence
    runs = {folder.path.name: folder for folder in Results(home / "results").runs("mine")}
    assert all("!" in record.text for record in runs[second].records())
    assert len(runs[first].records()) == 30, "the old run stays as it was"
    assert runs[second].describe()["code"]["distribution"] == "echo"
    edit(home, "{self.config.word}! {prompt.text}", "{self.config.word} {prompt.text}")
    assert in_process_of_its_own(home, 15)[:2] == (first, 0), "code that is as it was before is the same code"


def test_built_in_decoders_keep_their_identity_and_document() -> None:
    assert registry.decoders().code("magic") is None
    assert "code" not in spec().model_dump(mode="json")
    assert spec().model_copy(update={"code": "c" * 64}).identity() != spec().identity()


def test_a_plug_ins_package_counts_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for number, helper in enumerate(("X = 1\n", "X = 2\n")):
        site = tmp_path / str(number)
        package = site / f"pack{number}"
        (package / "inner").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "inner" / "__init__.py").write_text(ECHO)
        (package / "helper.py").write_text(helper)
        install(site, "packed", f"unused{number}", "", {"seetell.decoders": {"packed": f"pack{number}.inner:Echo"}})
        with monkeypatch.context() as patch:
            patch.syspath_prepend(site)
            code = registry.decoders().code("packed")
            assert code is not None
            digests.add(code.source)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (None, "not recorded"),
        ({"distribution": "d", "version": "1", "source": "s"}, "d is 2, before 1"),
        ({"distribution": "d", "version": "2", "source": "t"}, "the source of d 2 was edited"),
        ({"distribution": "e", "version": "2", "source": "s"}, "comes from d, before from e"),
        ({"distribution": "d", "version": "2", "source": "s"}, ""),
    ],
)
def test_what_changed_in_the_code_is_named(before: dict[str, str] | None, message: str) -> None:
    assert message in code_changes(before, Code("d", "2", "s")) if message else not code_changes(before, Code("d", "2", "s"))


def test_a_worker_with_other_code_than_planned_refuses(home: Path) -> None:  # noqa: F811
    suite = Suite.load(str(home / "mine.toml"))
    planned = Experiment(suite).plan("echo")
    other = planned.spec.model_copy(update={"code": "0" * 64})
    with pytest.raises(DecoderFailed, match="other code here"):
        Worker(Job(other, None, "cpu", home))


def test_fresh_decodes_again_and_keeps_what_was_there(home: Path) -> None:  # noqa: F811
    before = run(home)
    again = run(home, fresh=True)
    assert again.fresh == 2 * EXAMPLES
    assert sample_bytes(again) == sample_bytes(before)
    assert (again.folder.path / "replaced" / "001" / "samples.parquet").read_bytes() == sample_bytes(before)
    assert len(Results(home / "results").runs()) == 1


def test_a_metric_of_a_plug_in_is_scored_again_once_its_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = {"name": "s", "data": {"dataset": "jsonl", "file": "x"}, "text": {"max_new_tokens": 3}, "decoders": {"greedy": {}}}
    found = []
    for number, source in enumerate((METRIC, METRIC + "\n# edited\n")):
        entry = {"seetell.metrics": {"quality": f"edited{number}:Quality"}}
        site = install(tmp_path / str(number), "quality", f"edited{number}", source, entry)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(site)
            found += due_metrics(Suite.model_validate({**suite, "metrics": {"quality": {}}}))
    one, other = found
    assert one.code != other.code
    score = Score("quality", 0.5, 0.4, 0.6, 3, 0, "quality|way:plain", True, True, "bca")
    assert one.named([score])[0].signature != other.named([score])[0].signature
    assert not due_metrics(Suite.model_validate({**suite, "metrics": {"length": {}}}))[0].code


@pytest.fixture
def _bfloat16_program() -> Iterator[None]:
    import torch

    torch.set_default_dtype(torch.bfloat16)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_bfloat16_program")
def test_the_default_dtype_of_a_host_program_does_not_reach_a_decoder(home: Path) -> None:  # noqa: F811
    import torch

    suite = Suite.load(str(home / "mine.toml"))
    planned = Experiment(suite).plan("echo")
    worker = Worker(Job(planned.spec, None, "cpu", home))
    seen = []

    def looks(prompts: list[Prompt], _: list[int]) -> list[Generation]:
        seen.append((torch.get_default_dtype(), torch.zeros(1).dtype))
        return [Generation("x", (), "eos") for _ in prompts]

    worker.decoder.decode = looks  # type: ignore[method-assign, assignment]
    worker.decode(planned.tasks(set(), 1))
    assert seen == [(torch.float32, torch.float32)]
    assert torch.get_default_dtype() == torch.bfloat16, "what the program had set is put back"


IMPORTS = "from decoders.base import Need\nfrom decoders.models.images import open_image\n\n"
SEES = ECHO.replace("class Echo(Decoder):", f"{IMPORTS}class Echo(Decoder):")
SEES = SEES.replace("seeded = True\n", "needs = frozenset({Need.IMAGE})\n")
SEES = SEES.replace("{prompt.text} {seed % 1000}", "{open_image(prompt.image).getpixel((0, 0))}")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of two images and a decoder that says the colour of one."""
    from PIL import Image

    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{name}.png")
    lines = [json.dumps({"id": name, "image": f"{name}.png", "references": ["x"]}) for name in "ab"]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[data]\ndataset = "jsonl"\nfile = "data.jsonl"\n[text]\nmax_new_tokens = 8\n[decoders.sees]\n'
    )
    entry = {"seetell.decoders": {"sees": "sees_colour:Echo"}}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "sees", "sees_colour", SEES, entry))
    monkeypatch.delitem(sys.modules, "sees_colour", raising=False)
    return tmp_path


def test_an_image_that_was_swapped_after_planning_gives_no_text(pictures: Path) -> None:
    suite = Suite.load(str(pictures / "mine.toml"))
    planned = Experiment(suite).plan("sees")
    red = (pictures / "a.png").read_bytes()
    (pictures / "a.png").write_bytes((pictures / "b.png").read_bytes())
    with pytest.raises(DataError, match=r"a\.png has changed since the run was planned"):
        decode(planned, suite, Results(pictures / "results"), device="cpu")
    (pictures / "a.png").write_bytes(red)
    outcome = decode(planned, suite, Results(pictures / "results"), device="cpu")
    assert [record.text for record in outcome.folder.records()] == ["echo (255, 0, 0)", "echo (0, 0, 255)"]


def test_a_broken_image_fails_with_the_name_of_its_file(pictures: Path) -> None:
    (pictures / "a.png").write_bytes(b"no image")
    suite = Suite.load(str(pictures / "mine.toml"))
    outcome = decode(Experiment(suite).plan("sees"), suite, Results(pictures / "results"), device="cpu")
    [failure] = outcome.failures
    assert failure.failure is not None
    assert failure.failure.message.startswith(f"{pictures / 'a.png'} cannot be read (it is not an image)")


def test_an_image_that_went_away_after_planning_is_no_failure_of_the_example(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could be read when the run was planned"):
        PlannedImage(tmp_path / "gone.png", "0" * 64).read()
    assert issubclass(UnreadableImage, Exception)


def test_a_plug_in_that_ends_the_program_on_import_is_a_broken_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import sys\nprint('hello')\nsys.exit(0)\n"
    entry = {"seetell.decoders": {"leaves": "leaves_early:X"}}
    monkeypatch.syspath_prepend(install(tmp_path, "leaves", "leaves_early", source, entry))
    with pytest.raises(BrokenPlugin, match="SystemExit: 0"):
        registry.decoders().load("leaves")
    assert capsys.readouterr().out == "", "what it prints does not run into a JSON document"


def test_image_features_of_scores_do_not_depend_on_what_was_encoded_before(
    model_pair: tuple[object, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.metrics import clip
    from harness.suites.examples import Example, Sample

    model, images = model_pair
    encode = model.model.encode_image  # type: ignore[attr-defined]
    # As large models do in their last digits: an image's features depend on how many are encoded with it.
    monkeypatch.setattr(model.model, "encode_image", lambda pixels: encode(pixels) + 0.01 * len(pixels))  # type: ignore[attr-defined]
    model.forget()  # type: ignore[attr-defined]
    samples = [Sample(Example(str(n), image=image), text=f"a text of {n}") for n, image in enumerate(images)]
    metric = clip.ClipScore(clip.ClipScoreConfig(), _models(model))
    whole = metric.rows(samples)
    clip._FEATURES.clear()
    model.forget()  # type: ignore[attr-defined]
    model.image_features(images[:3])  # type: ignore[attr-defined]  # as a resumed run has seen some of them alone
    np.testing.assert_array_equal(metric.rows(samples), whole)


def _models(model: object) -> object:
    from decoders.models.loaded import Models

    return Models(image_text=model)  # type: ignore[arg-type]


@pytest.fixture
def model_pair(clip_folder: Path, image_files: list[Path]) -> Iterator[tuple[object, list[Path]]]:
    """A model of this process, which other tests share: what the test made it remember is forgotten again."""
    from decoders.models.load import load_image_text
    from harness.metrics import clip

    model = load_image_text(f"local-dir:{clip_folder}")
    yield model, image_files
    clip._FEATURES.clear()
    model.forget()


def test_pages_name_models_as_the_suite_does_and_no_folder_of_this_machine() -> None:
    suite = Suite.model_validate(
        {
            "name": "s",
            "data": {"dataset": "toybox"},
            "text": {"max_new_tokens": 3},
            "decoders": {"greedy": {}},
            "models": {"language_model": "local:model"},
        }
    )
    pin = ModelPin(name="local:/home/ada/model", digest="d")
    made = spec().model_copy(update={"language_model": pin, "image_text": None})
    assert "/home/ada" not in json.dumps(made.as_written(suite).model_dump(mode="json"))
    assert made.as_written(suite).identity() == made.identity()
