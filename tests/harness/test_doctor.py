"""The doctor: each state of a machine is told apart, and whatever is not fine comes with a remedy."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.cli import doctor
from harness.cli.doctor import Check, Java
from harness.metrics.coco.java import CORENLP_JARS

JAVA_8 = Java("/java", "1.8.0_392")
JAVA_17 = Java("/java", "17.0.15")
BROKEN = Java("/java", "", "ended with code 1: Unrecognized option: --nonsense")


def test_the_whole_examination_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from harness.cli.doctor import check\n"
        "checks = [each.to_json() for each in check(Path(sys.argv[1]))]\n"
        "print(json.dumps({'checks': checks, 'heavy': sorted({'torch', 'transformers', 'faiss'} & set(sys.modules))}))"
    )
    cache = tmp_path / "not yet" / "cache"
    done = subprocess.run([sys.executable, "-c", code, str(cache)], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["heavy"] == []
    names = [each["name"] for each in said["checks"]]
    assert names == ["Python", "libraries", "torch and torchvision", "CUDA", "Java", "COCO tokenizer", "METEOR", "SPICE",
                     "MAUVE", "Toybox models", "models from the hub", "cache", "disk"]  # fmt: skip
    for each in said["checks"]:
        assert each["detail"]
        assert "\n" not in each["detail"]
        assert each["ok"] is True or each["remedy"], each
    found = {each["name"]: each for each in said["checks"]}
    assert found["Python"]["ok"] is found["libraries"]["ok"] is found["torch and torchvision"]["ok"] is True
    assert not cache.parent.exists(), "looking leaves nothing behind"


def test_python_too_old() -> None:
    found = doctor.check_python((3, 10, 4))
    assert found.ok is False
    assert "3.10.4" in found.detail
    assert "3.11" in found.detail


# torch and torchvision


def test_a_torchvision_that_fits_and_one_that_is_helped() -> None:
    fits = doctor.check_torchvision({"torch": "2.13.0", "torchvision": "0.28.0"})
    assert (fits.ok, fits.detail) == (True, "torch 2.13.0, torchvision 0.28.0")
    complaint = "RuntimeError: operator torchvision::nms does not exist"
    helped = doctor.check_torchvision({"torch": "2.13.0", "torchvision": "0.28.0", "complaint": complaint})
    assert helped.ok is True
    assert complaint in helped.detail


def test_a_torchvision_that_nothing_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::another does not exist')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    found = doctor.check_torchvision(doctor.probe_torch())
    assert found.ok is False
    assert "torchvision::another" in found.detail
    assert found.remedy.startswith("pip install")


def test_a_python_that_dies_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("import os, sys; sys.stderr.write('no such instruction'); os._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    found = doctor.check_torchvision(doctor.probe_torch())
    assert found.ok is False
    assert "code 3: no such instruction" in found.detail


def test_gpus_are_listed_with_their_dtypes() -> None:
    devices = [{"name": "H200", "bfloat16": True, "float16": True}, {"name": "M40", "bfloat16": False, "float16": False}]
    found = doctor.check_cuda({"cuda_build": "13.0", "devices": devices})
    assert found.ok is True
    assert "H200 (float32, bfloat16, float16); M40 (float32)" in found.detail


# Java


def _java_that_says(folder: Path, script: str) -> Path:
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
@pytest.mark.parametrize(("version", "major"), [("1.8.0_392", 8), ("17.0.15", 17), ("21", 21), ("9-ea", 9)])
def test_java_is_found_by_home_and_asked_for_its_version(
    version: str, major: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _java_that_says(tmp_path / "with space", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "with space"))
    found = doctor.find_java()
    assert found == Java(str(path), version)
    assert found.major == major
    assert doctor.check_java(found).ok is True


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
def test_a_java_that_does_not_run_is_broken_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _java_that_says(tmp_path, "echo 'Could not create the Java Virtual Machine.' >&2; exit 1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = doctor.check_java(doctor.find_java())
    assert found.ok is False
    assert "Could not create the Java Virtual Machine." in found.detail


def test_no_java_is_a_lack_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert doctor.find_java() is None
    found = doctor.check_java(None)
    assert found.ok is None
    assert found.remedy == doctor.INSTALL_JAVA


def _files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"jar")
    return folder


def test_meteor_needs_its_package_its_files_and_java(tmp_path: Path) -> None:
    assert doctor.check_meteor(JAVA_17, None).remedy == doctor.INSTALL_METRICS
    folder = _files(tmp_path, "meteor/meteor-1.5.jar")
    lacking = doctor.check_meteor(JAVA_17, folder)
    assert lacking.ok is False
    assert "paraphrase-en.gz" in lacking.detail
    _files(tmp_path, "meteor/data/paraphrase-en.gz")
    assert [doctor.check_meteor(java, folder).ok for java in (JAVA_17, None, BROKEN)] == [True, None, None]


def test_spice_needs_stanfords_parser(tmp_path: Path) -> None:
    folder, cache = _files(tmp_path / "coco", "spice/spice-1.0.jar"), tmp_path / "cache"
    without = doctor.check_spice(JAVA_17, folder, cache)
    assert without.ok is None
    assert without.remedy == "seetell prefetch spice"
    _files(cache / "spice", *CORENLP_JARS)
    assert doctor.check_spice(JAVA_8, folder, cache).ok is True
    assert doctor.check_spice(JAVA_17, folder, cache).ok is True


# Models and room


def _toybox(folder: Path, *, nested: bool = False) -> Path:
    _files(folder, "clip/open_clip_model.safetensors", "plain/model.safetensors")
    digest = hashlib.sha256(b"jar").hexdigest()
    names = ("clip/open_clip_model.safetensors", "plain/model.safetensors")
    files = {name: {"sha256": digest, "bytes": 3} if nested else digest for name in names}
    (folder / "manifest.json").write_text(json.dumps({"files": files}))
    return folder


@pytest.mark.parametrize("nested", [False, True])
def test_toybox_models_are_compared_with_their_manifest(nested: bool, tmp_path: Path) -> None:
    folder = _toybox(tmp_path, nested=nested)
    assert doctor.check_toybox(folder).ok is True
    (folder / "clip/open_clip_model.safetensors").write_bytes(b"jam")
    (folder / "plain/model.safetensors").unlink()
    found = doctor.check_toybox(folder)
    assert found.ok is False
    assert "clip/open_clip_model.safetensors has changed" in found.detail
    assert "plain/model.safetensors is missing" in found.detail
    assert "seetell train toybox" in found.remedy


@pytest.mark.parametrize("content", [None, "", "{}", '{"files": {}}', '{"files": ["a"]}', '{"files": {"a": {"size": 1}}}', "[]"])
def test_a_manifest_that_says_nothing_is_an_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert doctor.check_toybox(tmp_path).ok is False


def test_hub_models_count_only_with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert doctor.hub_folder() == tmp_path / "hub"
    assert doctor.check_hub(doctor.hub_models(doctor.hub_folder())).ok is None
    _files(tmp_path / "hub", "models--openai-community--gpt2/snapshots/abc/config.json", "models--torn/refs/main",
           "datasets--org--d/snapshots/abc/a.json")  # fmt: skip
    assert doctor.hub_models(tmp_path / "hub") == ["openai-community/gpt2"]
    assert doctor.check_hub(["openai-community/gpt2"]) == Check(
        "models from the hub", True, "1 usable offline: openai-community/gpt2"
    )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    assert doctor.hub_folder() == tmp_path / "other"


def test_mauve_needs_the_libraries_that_it_is_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"sklearn": True, "threadpoolctl": False, "mauve": False}
    monkeypatch.setattr(doctor, "find_spec", lambda name: there[name] or None)
    found = doctor.check_mauve(["gpt2-large"])
    assert (found.ok, found.remedy) == (None, doctor.INSTALL_METRICS)
    assert "not installed: threadpoolctl;" in found.detail
    there["threadpoolctl"] = True  # mauve-text is nothing that the metric uses
    assert doctor.check_mauve(["gpt2-large"]).ok is True


@pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_mauve_needs_its_features_offline() -> None:
    assert doctor.check_mauve([]).ok is None
    assert "gpt2-large" in doctor.check_mauve([]).remedy
    assert doctor.check_mauve(["openai-community/gpt2-large"]).ok is True


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    assert doctor.check_cache(tmp_path / "new" / "cache").ok is True
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    found = doctor.check_cache(tmp_path / "file" / "cache")
    assert found.ok is False
    assert "SEETELL_CACHE" in found.remedy


def test_little_space_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GiB free for cache" in doctor.check_disk(tmp_path / "new").detail
    monkeypatch.setattr(doctor, "LOW_DISK", 1 << 80)
    assert doctor.check_disk(tmp_path / "new").ok is False
