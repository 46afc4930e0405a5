"""What this machine can do for SeeTell, and for everything it cannot, the command that repairs it.

Nothing heavy is imported here: torch and torchvision are tried in a process of their own, where a broken pair can do no
harm; the rest is read from package metadata and files.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.metrics.coco.java import CORENLP_JARS, OLDEST, java_path
from harness.store.runs import cache_folder

OLDEST_PYTHON = (3, 11)
LOW_DISK = 1 << 30
"""Bytes: below this much free space a run may not get to its end."""
PROBE_SECONDS = 180
MAUVE_LIBRARIES = {"scikit-learn": "sklearn", "threadpoolctl": "threadpoolctl"}
"""What MAUVE is computed with, and the module of each."""
MAUVE_FEATURES = ("gpt2-large", "openai-community/gpt2-large")
"""The model whose features MAUVE compares by default (Pillutla et al. 2021, section 4), under both its hub names."""

INSTALL_METRICS = "pip install 'seetell[metrics]'"
INSTALL_JAVA = "apt-get install default-jre-headless  (or: conda install openjdk; or set JAVA_HOME)"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """True: fine. False: broken, mend it. None: an optional part that is not there."""
    detail: str
    """What was found, on one line."""
    remedy: str = ""
    """The command that repairs it; empty where nothing is wrong."""

    def to_json(self) -> dict[str, object]:
        """The fields, as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Java:
    """The Java runtime that metrics would start."""

    path: str
    version: str
    """Empty if it does not even say its version."""
    complaint: str = ""

    @property
    def works(self) -> bool:
        """Whether it started and told its version."""
        return bool(self.version)

    @property
    def major(self) -> int:
        """8 for `1.8.0_392`, 17 for `17.0.15`."""
        numbers = [int(number) for number in re.findall(r"\d+", self.version)[:2]]
        return numbers[1] if len(numbers) > 1 and numbers[0] == 1 else next(iter(numbers), 0)


def check(cache: Path | None = None) -> list[Check]:
    """Look at everything, in two to five seconds.

    Args:
        cache: SeeTell's cache folder; `harness.store.runs.cache_folder()` by default.

    Returns:
        One `Check` a subject, always the same subjects in the same order. Only `ok=False` means that something is broken.
    """
    folder = cache or cache_folder()
    with ThreadPoolExecutor(2) as pool:
        probing = pool.submit(probe_torch)
        finding = pool.submit(find_java)
        hub = hub_models(hub_folder())
        plain = [check_toybox(toybox_folder()), check_hub(hub), check_cache(folder), check_disk(folder)]
        java, torch = finding.result(), probing.result()
    jars = coco_folder()
    scoring = [
        check_java(java),
        check_tokenizer(java, jars),
        check_meteor(java, jars),
        check_spice(java, jars, folder),
        check_mauve(hub),
    ]
    return [check_python(), check_libraries(), check_torchvision(torch), check_cuda(torch), *scoring, *plain]


# Python and its libraries


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Whether this Python is new enough."""
    text = ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return Check("Python", True, f"{text} at {sys.executable}")
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Check("Python", False, f"{text}, but SeeTell needs {needed} or newer", f"make PYTHON=python{needed} demo")


def check_libraries() -> Check:
    """Whether everything that SeeTell's own metadata requires is installed."""
    required = [line for line in metadata.requires("seetell") or [] if "extra ==" not in line]
    names = [match.group() for line in required if (match := re.match(r"[\w.-]+", line))]
    missing = sorted(name for name in names if _version(name) is None)
    if missing:
        return Check("libraries", False, f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Check("libraries", True, f"all {len(names)} installed, transformers {_version('transformers')}")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


# torch, torchvision, CUDA

_PROBE = """
import json, sys
answer = {}
try:
    import torch
    answer["torch"] = torch.__version__
    answer["cuda_build"] = torch.version.cuda
    answer["devices"] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            with torch.cuda.device(index):
                answer["devices"].append({
                    "name": torch.cuda.get_device_name(index),
                    "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
                    "float16": torch.cuda.get_device_capability(index) >= (5, 3),
                })
    try:
        import torchvision
        answer["torchvision"] = torchvision.__version__
    except Exception as error:
        answer["complaint"] = f"{type(error).__name__}: {error}"
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        from decoders.models.torchvision_schemas import ensure
        ensure()
        import torchvision
        answer["torchvision"] = torchvision.__version__
except Exception as error:
    answer["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(answer))
"""


def probe_torch() -> dict[str, Any]:
    """What torch and torchvision say of themselves in a fresh process.

    Returns:
        `torch`, `torchvision` (versions), `cuda_build`, `devices` (name, bfloat16, float16), `complaint` (how importing
        torchvision failed before SeeTell's own operator schemas were declared), `error` (what failed in spite of all).
    """
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    last = (process.stdout.strip().splitlines() or [""])[-1]
    try:
        probe: dict[str, Any] = json.loads(last)
    except ValueError:
        return {"error": f"Python ended with code {process.returncode}: {_line(process.stderr) or 'no message'}"}
    return probe


def check_torchvision(probe: Mapping[str, Any]) -> Check:
    """Whether torch and torchvision load together; `probe` is what `probe_torch` returned."""
    name = "torch and torchvision"
    pair = f"torch {probe.get('torch') or _version('torch')}, torchvision {probe.get('torchvision') or _version('torchvision')}"
    if "error" in probe:
        again = "pip install --force-reinstall torch torchvision  (both in one command, so that they fit each other)"
        return Check(name, False, f"{pair}: {_line(probe['error'])}", again)
    if "complaint" in probe:
        return Check(
            name,
            True,
            f"{pair}: torchvision's operators were built for another torch ({_line(probe['complaint'])}); "
            "SeeTell needs none of them and declares them itself",
        )
    return Check(name, True, pair)


def check_cuda(probe: Mapping[str, Any]) -> Check:
    """Which GPUs torch sees and which dtypes they compute in; `probe` is what `probe_torch` returned."""
    devices = probe.get("devices") or []
    if devices:
        kinds = [[kind for kind in ("bfloat16", "float16") if device.get(kind)] for device in devices]
        shown = [f"{device['name']} (float32{''.join(f', {kind}' for kind in kind_list)})"
                 for device, kind_list in zip(devices, kinds, strict=True)]  # fmt: skip
        return Check("CUDA", True, f"built for CUDA {probe.get('cuda_build')}: {'; '.join(shown)}")
    if shutil.which("nvidia-smi") is None:
        return Check("CUDA", None, "no NVIDIA GPU; SeeTell runs on the CPU, in float32", "none needed: a GPU only adds speed")
    if probe.get("cuda_build") is None:
        build = "pip install --force-reinstall torch torchvision  (a CUDA build of both)"
        return Check("CUDA", None, "there is an NVIDIA driver, but this torch is a CPU build", build)
    return Check("CUDA", False, f"torch is built for CUDA {probe['cuda_build']} but sees no device", "nvidia-smi")


# Java and what needs it


def find_java() -> Java | None:
    """The Java that `JAVA_HOME` or `PATH` leads to, asked for its version; None if there is none."""
    java = java_path()
    if java is None:
        return None
    path = str(java)
    try:
        process = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Java(path, "", _line(str(error)))
    output = process.stderr + process.stdout
    match = re.search(r'version "([^"]+)"', output)
    if process.returncode or match is None:
        return Java(path, "", f"ended with code {process.returncode}: {_line(output)}")
    return Java(path, match.group(1))


def check_java(java: Java | None) -> Check:
    """Whether Java is there and runs."""
    if java is None:
        return Check("Java", None, "not found; the COCO tokenizer, METEOR and SPICE need it", INSTALL_JAVA)
    if not java.works:
        remedy = f"unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS; {java.path} -version"
        return Check("Java", False, f"{java.path} does not run ({java.complaint})", remedy)
    if 0 < java.major < OLDEST:
        return Check("Java", False, f"{java.version} at {java.path}; expected {OLDEST} or newer", INSTALL_JAVA)
    return Check("Java", True, f"{java.version} at {java.path}")


def coco_folder() -> Path | None:
    """Where pycocoevalcap and its jars are installed, or None."""
    spec = find_spec("pycocoevalcap")
    return next((Path(folder) for folder in (spec.submodule_search_locations or ())), None) if spec else None


def _jar_check(name: str, java: Java | None, folder: Path | None, files: tuple[str, ...], without: str) -> Check:
    """Whether a part of pycocoevalcap has its files and a Java to run them."""
    if folder is None:
        return Check(name, None, f"pycocoevalcap is not installed; {without}", INSTALL_METRICS)
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        again = "pip install --force-reinstall pycocoevalcap"
        return Check(name, False, f"{folder} lacks {', '.join(missing)}", again)
    if java is None or not java.works:
        return Check(name, None, f"no Java that works; {without}", INSTALL_JAVA)
    return Check(name, True, f"pycocoevalcap {_version('pycocoevalcap')}, Java {java.version}")


def check_tokenizer(java: Java | None, folder: Path | None) -> Check:
    """Whether captions can be tokenised as the COCO evaluation does."""
    without = "captions are tokenised in Python, and such scores are never ranked with COCO's"
    return _jar_check("COCO tokenizer", java, folder, ("tokenizer/stanford-corenlp-3.4.1.jar",), without)


def check_meteor(java: Java | None, folder: Path | None) -> Check:
    """Whether METEOR (Denkowski and Lavie 2014) has its jar, its paraphrases and a Java."""
    files = ("meteor/meteor-1.5.jar", "meteor/data/paraphrase-en.gz")
    return _jar_check("METEOR", java, folder, files, "METEOR is reported as unavailable")


def check_spice(java: Java | None, folder: Path | None, cache: Path) -> Check:
    """SPICE (Anderson et al. 2016) also needs Stanford's parser, which pycocoevalcap does not bring along."""
    check = _jar_check("SPICE", java, folder, ("spice/spice-1.0.jar",), "SPICE is reported as unavailable")
    if not check.ok or folder is None or java is None:
        return check
    own = cache / "spice"
    missing = [jar for jar in CORENLP_JARS if not any((place / jar).is_file() for place in (own, folder / "spice/lib"))]
    if missing:
        return Check("SPICE", None, f"Stanford's parser is missing: {', '.join(missing)}", "seetell prefetch spice")
    return check


def check_mauve(hub: list[str]) -> Check:
    """Whether MAUVE and the model behind its features are here; `hub` is what `hub_models` found."""
    missing = [name for name, module in MAUVE_LIBRARIES.items() if find_spec(module) is None]
    if missing:
        detail = f"not installed: {', '.join(missing)}; MAUVE is reported as unavailable"
        return Check("MAUVE", None, detail, INSTALL_METRICS)
    version = ", ".join(f"{name} {_version(name)}" for name in MAUVE_LIBRARIES)
    if not any(name in hub for name in MAUVE_FEATURES):
        detail = f"{version}, but {MAUVE_FEATURES[1]}, whose features it compares, is not cached"
        return Check("MAUVE", None, detail, f"hf download {MAUVE_FEATURES[1]}")
    return Check("MAUVE", True, version)


# Models and room


def toybox_folder() -> Path:
    """Where the embedded models are installed."""
    return Path(str(resources.files("decoders"))) / "models" / "toybox"


def check_toybox(folder: Path) -> Check:
    """Whether the embedded models are there, byte for byte as their manifest says."""
    name = "Toybox models"
    again = f"pip install --force-reinstall seetell  (or train them again: seetell train toybox --out '{folder}')"
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        expected = {str(file): _digest_of(entry) for file, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        return Check(name, False, f"{folder / 'manifest.json'} cannot be read ({_line(repr(error))})", again)
    wrong = []
    for file, digest in expected.items():
        path = folder / file
        if not path.is_file():
            wrong.append(f"{file} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(f"{file} has changed")
    if wrong or not expected:
        return Check(name, False, "; ".join(wrong) or f"the manifest in {folder} names no file", again)
    size = sum((folder / file).stat().st_size for file in expected)
    return Check(name, True, f"{len(expected)} files, {size / 1e6:.1f} MB, as their manifest says")


def _digest_of(entry: Any) -> str:
    """A manifest names a file's SHA-256 directly, or beside its size."""
    return str(entry["sha256"] if isinstance(entry, Mapping) else entry)


def hub_folder() -> Path:
    """Where the Hugging Face libraries keep what they download (their own rule)."""
    environment = os.environ
    if named := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    home = environment.get("HF_HOME")
    base = Path(home) if home else Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return base.expanduser() / "hub"


def hub_models(folder: Path) -> list[str]:
    """Names of the models in a hub cache that have at least one snapshot on disk."""
    try:
        kept = [path for path in folder.glob("models--*") if any((path / "snapshots").glob("*/*"))]
    except OSError:
        return []
    return sorted(path.name.removeprefix("models--").replace("--", "/") for path in kept)


def check_hub(models: list[str]) -> Check:
    """Which models can be used without a network; `models` is what `hub_models` found."""
    if not models:
        detail = f"none in {hub_folder()}; suites that name hf: or open_clip: models need the network once"
        return Check("models from the hub", None, detail, "hf download openai-community/gpt2")
    remainder = f" and {len(models) - 8} more" if len(models) > 8 else ""
    return Check("models from the hub", True, f"{len(models)} usable offline: {', '.join(models[:8])}{remainder}")


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest ancestor that exists."""
    return next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path.cwd())


def check_cache(folder: Path) -> Check:
    """Whether the cache can be written, tried without leaving anything behind."""
    remedy = 'export SEETELL_CACHE="$HOME/seetell-cache"  (any folder that you may write)'
    try:
        with tempfile.TemporaryFile(dir=_nearest(folder)) as file:
            file.write(b"seetell")
    except OSError as error:
        return Check("cache", False, f"{folder} cannot be written ({_line(str(error))})", remedy)
    return Check("cache", True, f"{folder}, writable")


def check_disk(cache: Path) -> Check:
    """Free space where the cache is and where a run started here would write its results."""
    places = {"cache": _nearest(cache), "this folder": Path.cwd()}
    free = {name: shutil.disk_usage(path).free for name, path in places.items()}
    detail = ", ".join(f"{amount / 2**30:.1f} GiB free for {name}" for name, amount in free.items())
    if min(free.values()) < LOW_DISK:
        tight = places[min(free, key=lambda name: free[name])]
        return Check("disk", False, f"{detail}; expected 1 GiB or more", f"du -xh '{tight}' | sort -h | tail  (then make room)")
    return Check("disk", True, f"{detail} ({platform.system()})")


def _line(text: str) -> str:
    """The last line that says something, cut short: where Python and Java put the reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "")[:300]
