"""`seetell prefetch SUITE` and `run --offline`: real files, a real server, kills, damage, and no network at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from decoders.models import files as model_files
from harness.errors import DataError
from harness.fetch import download
from harness.fetch.check import check_suite
from harness.fetch.offline import check_fetched, check_parts
from harness.fetch.prefetch import Fetched, prefetch_suite
from harness.store.lock import LOCK, Lock, LockedFile, LockedModel, content_of
from harness.suites.spec import Suite
from tests.checkpoints import write_karpathy
from tests.harness.fetch.servers import Served, serve_folder, serve_hub
from tests.harness.test_cli import seetell

COMMIT = {"toy/captions": "1" * 40, "toy/clip": "2" * 40}
SUITE = """
name = "mine"
[data]
dataset = "karpathy"
file = "$SEETELL_DATA/toy/dataset.json"
images = "$SEETELL_DATA/toy/images.zip"
[models]
language_model = "hf:toy/captions"
image_text = "hf-hub:toy/clip"
[text]
prompt = "<-start_of_text->"
max_new_tokens = 5
[decoders.greedy]
[decoders.magic]
k = 3
[metrics.clipscore]
"""

NO_NETWORK = """
import socket
def refuse(*arguments, **options):
    raise RuntimeError(f"NETWORK {arguments[1:]!r}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
"""


@contextlib.contextmanager
def no_bar(what: str) -> Iterator[download.Progress]:
    yield lambda done, total: None


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory, gpt2_folder: Path, clip_folder: Path) -> Path:
    """A data folder as a prefetch leaves it: two models, captions, images in a zip, and the lock."""
    home = tmp_path_factory.mktemp("mirror")
    lock = Lock()
    for name, source in (("toy/captions", gpt2_folder), ("toy/clip", clip_folder)):
        place = home / "models" / name / COMMIT[name]
        shutil.copytree(source, place)
        files = {each.name: content_of(each) for each in sorted(place.iterdir())}
        lock = lock.with_model(name, LockedModel(commit=COMMIT[name], files=files))
    raw = tmp_path_factory.mktemp("raw")
    write_karpathy(raw, 3)
    (home / "toy").mkdir()
    shutil.copy(raw / "dataset.json", home / "toy" / "dataset.json")
    with zipfile.ZipFile(home / "toy" / "images.zip", "w") as images:
        for image in sorted((raw / "images").iterdir()):
            images.write(image, image.name)
    for name in ("toy/dataset.json", "toy/images.zip"):
        content = content_of(home / name)
        lock = lock.with_file(name, LockedFile(size=content.size, sha256=content.sha256))
    lock.write(home)
    return home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SEETELL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    (tmp_path / "mine.toml").write_text(SUITE)
    yield tmp_path / "data"
    model_files._fetched.clear()


@pytest.fixture
def mirror(copy: Path) -> Iterator[Served]:
    with serve_folder(copy) as state:
        yield state


def fetch(home: Path, mirror: str | None, *, update: bool = False, said: list[str] | None = None) -> Fetched:
    suite = Suite.load(str(home.parent / "mine.toml"))
    return prefetch_suite(suite, mirror=mirror, update=update, say=(said if said is not None else []).append, progress_bar=no_bar)


def same(home: Path, copy: Path) -> bool:
    names = {each.relative_to(copy) for each in copy.rglob("*") if each.is_file()}
    found = {each.relative_to(home) for each in home.rglob("*") if each.is_file()}
    return found == names and all((home / each).read_bytes() == (copy / each).read_bytes() for each in names - {Path(LOCK)})


@pytest.mark.parametrize("kind", ["address", "folder"])
def test_a_mirror_gives_the_same_folder_pinned_alike(home: Path, copy: Path, mirror: Served, kind: str) -> None:
    said: list[str] = []
    place = mirror.address if kind == "address" else str(copy)
    result = fetch(home, place, said=said)
    assert same(home, copy)
    assert result.models == COMMIT
    assert set(result.files) == {"toy/dataset.json", "toy/images.zip"}
    assert "needs" in said[0]
    assert "are free" in said[0]
    ours, theirs = Lock.read(home), Lock.read(copy)
    assert ours.models == theirs.models
    assert {path: each.sha256 for path, each in ours.files.items()} == {path: each.sha256 for path, each in theirs.files.items()}
    before = len(mirror.asked)
    again = fetch(home, place, said=said)
    assert again.fetched == 0
    assert [path for path, _ in mirror.asked[before:] if LOCK not in path] == []
    assert "all that can be fetched is in" in said[-1]


def test_a_damaged_file_is_found_offline_and_brought_again(home: Path, copy: Path, mirror: Served) -> None:
    fetch(home, mirror.address)
    suite = Suite.load(str(home.parent / "mine.toml"))
    assert "2 models and 2 data files" in check_fetched(suite)
    assert check_suite(suite).complete  # models are seen where they were fetched to
    for name in ("toy/images.zip", f"models/toy/captions/{COMMIT['toy/captions']}/model.safetensors"):
        damaged = bytearray((home / name).read_bytes())
        damaged[-1] ^= 1
        (home / name).write_bytes(damaged)
        with pytest.raises(DataError, match=f"{name} is not what .*{LOCK} says: .*seetell prefetch mine` brings it again"):
            check_fetched(suite)
        fetch(home, mirror.address)
        assert same(home, copy)
    (home / "toy" / "dataset.json").unlink()
    with pytest.raises(DataError, match="and not on this disk"):
        check_fetched(suite)
    shutil.rmtree(home)
    with pytest.raises(DataError, match="hf:toy/captions is not in .*so it was not fetched"):
        check_fetched(suite)


def test_a_mirror_that_lies_puts_nothing_in_place(home: Path, copy: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(copy, bad)
    name = "toy/dataset.json"
    (bad / name).write_bytes((bad / name).read_bytes() + b" ")
    with pytest.raises(DataError, match="was expected. It was deleted"):
        fetch(home, str(bad))
    assert not (home / name).exists()
    assert not (home / f"{name}.part").exists()
    assert set(Lock.read(home).models) == set(COMMIT)  # what came before it is kept and pinned
    fetch(home, str(copy))
    assert same(home, copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("toy/images.zip", "../../evil.zip", "expected a path inside the folder"),
        ("toy/images.zip", "/etc/evil.zip", "expected a path inside the folder"),
        (COMMIT["toy/clip"], "../../..", "commit"),
        ("seetell-lock-1", "seetell-lock-9", "format"),
        ("[models", "[[models", "no lock file|not TOML"),
    ],
)
def test_a_lock_that_leads_out_of_its_folder_is_refused(
    home: Path, copy: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(copy, bad)
    text = (bad / LOCK).read_text()
    assert old in text
    (bad / LOCK).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        fetch(home, str(bad))
    assert not home.exists() or not any(home.iterdir())


def test_too_little_room_is_told_before_anything_is_written(home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"mine needs .* of room in .*; 0.0 MB are free. Make room, or set SEETELL_DATA"):
        fetch(home, str(copy))
    assert not home.exists()


def test_a_disk_that_fills_up_keeps_what_came(home: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        if Path(source).name == "images.zip":
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr("harness.fetch.origins.shutil.copyfile", full)
    with pytest.raises(DataError, match="cannot be written .*No space left.*the same command resumes"):
        fetch(home, str(copy))
    assert set(Lock.read(home).models) == set(COMMIT)
    monkeypatch.undo()
    monkeypatch.setenv("SEETELL_DATA", str(home))
    fetch(home, str(copy))
    assert same(home, copy)


def test_what_needs_a_person_is_told_step_by_step_and_pinned_when_it_is_there(home: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SUITE.replace("toy/images.zip", "flickr30k/flickr30k-images"))
    [missing] = fetch(home, str(copy)).missing
    assert missing.path == home / "flickr30k" / "flickr30k-images"
    assert any("form" in step for step in missing.steps)
    with pytest.raises(DataError, match="flickr30k-images is not there; .*or says how to get it"):
        check_fetched(Suite.load(str(tmp_path / "mine.toml")))
    (missing.path / "a").mkdir(parents=True)
    (missing.path / "a" / "1.jpg").write_bytes(b"one")
    result = fetch(home, str(copy))
    assert result.missing == []
    assert Lock.read(home).files["flickr30k/flickr30k-images"].files == 1
    (missing.path / "a" / "1.jpg").write_bytes(b"two")
    with pytest.raises(DataError, match="is not what .* pins .*--update"):
        fetch(home, str(copy))
    fetch(home, str(copy), update=True)


def test_every_file_that_a_pattern_stands_for_is_fetched_and_checked(home: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SUITE.replace("toy/images.zip", "toy/{images,more}.zip"))
    result = fetch(home, str(copy))
    assert set(result.files) == {"toy/dataset.json", "toy/images.zip"}
    assert [missing.path for missing in result.missing] == [home / "toy" / "more.zip"]
    shutil.copy(home / "toy" / "images.zip", home / "toy" / "more.zip")
    assert set(fetch(home, str(copy)).files) == {"toy/dataset.json", "toy/images.zip", "toy/more.zip"}
    assert "2 models and 3 data files" in check_fetched(Suite.load(str(tmp_path / "mine.toml")))


@pytest.mark.parametrize("place", ["nowhere", "http://127.0.0.1:9", "ftp://x"])
def test_a_place_that_is_no_mirror_is_told(home: Path, place: str) -> None:
    with pytest.raises(DataError, match="is a copy of a data folder|starts with http"):
        fetch(home, place)


def test_a_mirror_without_the_model_says_what_it_has(home: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SUITE.replace("hf:toy/captions", "hf:toy/other"))
    with pytest.raises(DataError, match="does not have toy/other; it has toy/captions, toy/clip"):
        fetch(home, str(copy))


def test_killed_in_the_middle_it_goes_on_where_it_was(home: Path, copy: Path, mirror: Served, tmp_path: Path) -> None:
    mirror.stall_after = 20_000
    arguments = [sys.executable, "-m", "harness.cli", "prefetch", "mine.toml", "--mirror", mirror.address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SEETELL_DATA": str(home)}
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    parts: list[Path] = []
    deadline = time.monotonic() + 300
    while not parts and time.monotonic() < deadline:
        mirror.stalled.wait(0.1)
        parts = [each for each in home.rglob("*.part") if each.stat().st_size]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert parts, "nothing came"
    have, whole = parts[0].stat().st_size, parts[0].with_suffix("")
    assert not whole.exists()
    mirror.stall_after = None
    mirror.go_on.set()
    done = seetell("prefetch", "mine.toml", "--mirror", mirror.address, "--json", cwd=tmp_path, SEETELL_DATA=str(home))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mine"]["models"] == COMMIT
    assert (f"/{whole.relative_to(home)}", f"bytes={have}-") in mirror.asked
    assert same(home, copy)


ALL_OFFLINE = """
import json, os, sys
from harness.cli import app
for arguments in json.loads(sys.argv[1]):
    print("$", *arguments, file=sys.stderr)
    os.environ["HF_HUB_OFFLINE"] = "0"  # each has to cut itself off
    if "huggingface_hub" in sys.modules:
        sys.modules["huggingface_hub"].constants.HF_HUB_OFFLINE = False
    code = app([*arguments, "--offline"], result_action="return_value", exit_on_error=False)
    cut = os.environ["HF_HUB_OFFLINE"] == "1" and sys.modules["huggingface_hub"].constants.HF_HUB_OFFLINE
    print("=", code, bool(cut), file=sys.stderr)
"""

COMMANDS = (
    ["run", "mine.toml", "--json"],
    ["score", "mine.toml", "--fresh"],
    ["score", "said.jsonl", "--metrics", "perplexity", "--set", "perplexity.model=hf:toy/captions"],
    ["index", "images", "mine.toml", "--out", "images"],
    ["index", "captions", "said.txt", "--out", "captions", "--model", "hf-hub:toy/clip"],
    ["index", "query", "captions", "a dog"],
    ["train", "lm", "--train", "said.txt", "--val", "other.txt", "--model", "hf:toy/captions", "--steps", "1", "--out", "lm"],
    ["data", "check", "mine.toml"],
)  # fmt: skip


def test_offline_nothing_is_asked_of_any_network(home: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(NO_NETWORK)
    (tmp_path / "said.jsonl").write_text('{"id": "a", "text": "A dog on a beach."}\n')
    (tmp_path / "said.txt").write_text("A dog on a beach.\nTwo red boats.\n")
    (tmp_path / "other.txt").write_text("A cat in a bowl.\n")
    environment = {
        **os.environ, "SEETELL_DATA": str(home), "SEETELL_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "hub"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "guard"), *sys.path]),
    }  # fmt: skip
    fetch(home, str(copy))
    done = subprocess.run(
        [sys.executable, "-c", ALL_OFFLINE, json.dumps(COMMANDS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
    assert done.stderr.count("\n= 0 True\n") == len(COMMANDS), done.stderr
    assert done.stderr.count("offline: 2 models and 2 data files") == 2  # of run and score
    assert done.stderr.count("offline: 1 models and 0 data files") == 4  # of models alone
    assert "[lock] offline: 2 models and 2 data files" in done.stdout
    runs = json.JSONDecoder().raw_decode(done.stdout)[0]["runs"]
    assert {each["decoder"]: each["complete"] for each in runs} == {"greedy": True, "magic": True, "constant": True}
    spec = json.loads((tmp_path / runs[0]["folder"] / "run.json").read_bytes())["spec"]
    assert spec["language_model"] == {"name": "hf:toy/captions", "digest": COMMIT["toy/captions"]}


def test_a_model_that_was_never_fetched_is_told_offline_with_the_command_that_brings_it(home: Path, copy: Path) -> None:
    fetch(home, str(copy))
    for name, role in (("hf:toy/other", "language_model"), ("hf-hub:toy/other", "image_text")):
        with pytest.raises(DataError, match=f"{name} is not in .*seetell prefetch SUITE --set models.{role}={name}` brings it"):
            check_parts("this training", [name])
    suite = Suite.load(str(home.parent / "mine.toml"), ["models.language_model=hf:toy/other"])
    [lock] = [finding for finding in check_suite(suite, locked=True).findings if finding.section == "[lock]"]
    assert lock.level == "problem"
    assert lock.steps == ("seetell prefetch mine --set 'models.language_model=\"hf:toy/other\"'",)


def test_the_guard_catches_a_connection(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert "NETWORK" in done.stderr


def test_from_the_hub_only_what_is_needed_comes_pinned_to_its_commit(
    home: Path, copy: Path, tmp_path: Path, gpt2_folder: Path, clip_folder: Path
) -> None:
    repository = tmp_path / "captions"
    shutil.copytree(gpt2_folder, repository)
    for name in ("pytorch_model.bin", "README.md", "model.py", "flax_model.msgpack"):
        (repository / name).write_bytes(b"not wanted")
    (repository / "onnx").mkdir()
    (repository / "onnx" / "config.json").write_text("of another model")
    shutil.copytree(copy / "toy", home / "toy")  # the user's own data
    with serve_hub({"toy/captions": (COMMIT["toy/captions"], repository), "toy/clip": (COMMIT["toy/clip"], clip_folder)}) as hub:
        environment = {"SEETELL_DATA": str(home), "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0",
                       "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
        done = seetell("prefetch", "mine.toml", "--json", cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mine"]["models"] == COMMIT
    assert same(home, copy)
    assert Lock.read(home).models == Lock.read(copy).models


def test_a_model_in_a_folder_beside_the_suite_is_never_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suite" / "models" / "clip").mkdir(parents=True)
    (tmp_path / "suite" / "mine.toml").write_text(
        SUITE.replace("$SEETELL_DATA/toy/", "")
        .replace("hf-hub:toy/clip", "hf-clip:models/clip")
        .replace("hf:toy/captions", "toybox:plain")
    )
    (tmp_path / "suite" / "dataset.json").write_text('{"images": []}')
    (tmp_path / "suite" / "images.zip").touch()
    monkeypatch.chdir(tmp_path)  # where a folder called models/clip does not exist
    monkeypatch.setenv("SEETELL_DATA", str(tmp_path / "home"))
    assert "needs nothing" in check_fetched(Suite.load("suite/mine.toml"))
