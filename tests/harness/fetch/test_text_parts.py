"""Models whose text tower and tokenizer lie in repositories of their own; and prompts whose special tokens are none."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch

from decoders.models import files as model_files
from decoders.models.load import load_image_text
from harness.errors import DataError
from harness.fetch.check.models import check_models, prompt_notes
from harness.fetch.offline import check_fetched
from harness.fetch.prefetch import Fetched, prefetch_suite
from harness.store.durable import Progress
from harness.store.lock import Lock, LockedModel, content_of
from harness.suites.spec import Suite
from tests.checkpoints import write_gpt2, write_open_clip, write_text_tower
from tests.harness.in_process import seetell_here

SUITE = """
name = "mine"
[data]
dataset = "jsonl"
file = "cards.jsonl"
[models]
language_model = "{lm}"
image_text = "{clip}"
[text]
prompt = "{prompt}"
max_new_tokens = 3
[decoders.greedy]
[metrics.length]
"""


@contextlib.contextmanager
def no_bar(what: str) -> Iterator[Progress]:
    yield lambda done, total: None


def suite_in(folder: Path, *, lm: str, clip: str, prompt: str = "") -> Suite:
    (folder / "cards.jsonl").write_text('{"id": "a", "references": ["A dog."]}\n')
    (folder / "mine.toml").write_text(SUITE.format(lm=lm, clip=clip, prompt=prompt))
    return Suite.load(str(folder / "mine.toml"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SEETELL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    yield tmp_path / "data"
    model_files._fetched.clear()


def fetch(suite: Suite, mirror: Path) -> Fetched:
    return prefetch_suite(suite, mirror=str(mirror), update=False, say=lambda text: None, progress_bar=no_bar)


def test_they_are_fetched_with_the_model_that_names_them_and_missed_where_they_are_not(
    home: Path, tmp_path: Path, gpt2_folder: Path
) -> None:
    model = write_text_tower(tmp_path / "tower")
    expected = load_image_text(f"local-dir:{model}").text_features(["a red dog"])
    config = json.loads((model / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_model_name": "toy/tower", "hf_tokenizer_name": "toy/tower"}
    (model / "open_clip_config.json").write_text(json.dumps(config))
    mirror, lock = tmp_path / "mirror", Lock()
    weights = sorted(model.glob("open_clip*"))
    for name, files in (
        ("toy/captions", list(gpt2_folder.iterdir())),
        ("toy/clip", weights),
        ("toy/tower", [path for path in model.iterdir() if path not in weights]),
    ):
        place = mirror / "models" / name / ("d" * 40)
        place.mkdir(parents=True)
        for path in files:
            shutil.copy(path, place)
        content = {path.name: content_of(path) for path in sorted(place.iterdir())}
        lock = lock.with_model(name, LockedModel(commit="d" * 40, files=content))
    lock.write(mirror)
    suite = suite_in(tmp_path, lm="hf:toy/captions", clip="hf-hub:toy/clip")
    assert set(fetch(suite, mirror).models) == {"toy/captions", "toy/clip", "toy/tower"}
    assert "2 models" in check_fetched(suite)
    assert [finding.level for finding in check_models(suite, "mine")] == ["ok", "ok"]
    torch.testing.assert_close(load_image_text("hf-hub:toy/clip").text_features(["a red dog"]), expected)
    shutil.rmtree(home / "models" / "toy" / "tower")
    model_files._fetched.clear()
    with pytest.raises(DataError, match="toy/tower"):
        check_fetched(suite)
    problems = [finding for finding in check_models(suite, "mine") if finding.level == "problem"]
    assert "toy/tower" in problems[0].detail
    assert "prefetch" in problems[0].steps[0]


def test_a_check_loads_what_a_run_will_load(tmp_path: Path) -> None:
    lm, clip = write_gpt2(tmp_path / "lm", seed=77), write_open_clip(tmp_path / "clip", seed=77)
    suite = suite_in(tmp_path, lm=f"local:{lm}", clip=f"local-dir:{clip}")
    assert all(finding.level == "ok" for finding in check_models(suite, "mine", deep=True))
    (lm / "tokenizer.json").write_text("{}")
    config = json.loads((clip / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 48
    (clip / "open_clip_config.json").write_text(json.dumps(config))
    problems = check_models(suite, "mine")
    assert [finding.level for finding in problems] == ["problem", "problem"]
    assert "train lm" in problems[0].steps[0]
    assert "train lm" not in problems[1].steps[0]


def test_a_start_token_that_the_tokenizer_lacks_is_warned_about(
    tmp_path: Path, llama_folder: Path, gpt2_folder: Path, clip_folder: Path
) -> None:
    prompt = "<-start_of_text->"
    clip = f"local-dir:{clip_folder}"
    assert prompt_notes(suite_in(tmp_path, lm=f"local:{gpt2_folder}", clip=clip, prompt=prompt)) == []
    assert prompt_notes(suite_in(tmp_path, lm=f"local:{llama_folder}", clip=clip, prompt="a <b> dog")) == []
    suite = suite_in(tmp_path, lm=f"local:{llama_folder}", clip=clip, prompt=prompt)
    (note,) = prompt_notes(suite)
    assert prompt in note
    assert "ordinary tokens" in note
    assert note in [finding.detail for finding in check_models(suite, "mine") if finding.level == "note"]
    result = seetell_here("run", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "results"))
    assert result.returncode == 0, result.stderr
    assert prompt in result.stderr
