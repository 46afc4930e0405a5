"""What `seetell bench metrics` measures with: memory of a family of processes, CPU time of grandchildren, differences."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.bench import metrics as bench_metrics
from harness.bench.metrics import OURS, _difference, _run, _Watch
from harness.errors import MetricError, MetricUnavailable

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


def test_the_largest_difference_counts_and_other_outputs_are_no_comparison() -> None:
    assert _difference([{"a": 1.0, "b": 2.0}, {"a": 3.0}], [{"a": 1.25, "b": 2.0}, {"a": 2.5}]) == 0.5
    assert _difference([{"a": 1.0}], [{"b": 1.0}]) == math.inf


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to look at memory")
def test_memory_of_descendants_is_added_up() -> None:
    child = "import sys; block = bytearray(200 * 10**6); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", PARENT, child], stdin=subprocess.PIPE)
    limit = time.monotonic() + 300
    with _Watch(process.pid) as watch:
        while watch.peak <= 200e6 and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
        process.communicate()  # its input ends, and so does it
    assert process.returncode == 0
    assert 200e6 < watch.peak < 400e6


def test_cpu_time_of_grandchildren_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A side whose work is done by a process that it starts."""
    busy = "import time\nwhile time.process_time() < 0.7: pass"
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\n\'{sys.executable}\' -c "{busy}" && echo \'[{{"a": 1}}]\' > "$5"\n'  # side, asked, answer come last
    )
    script.chmod(0o755)
    monkeypatch.setattr(bench_metrics.sys, "executable", str(script))
    cost, scores = _run(OURS, tmp_path / "asked", tmp_path, tmp_path / "cache")
    assert scores == [{"a": 1}]
    assert cost.cpu >= 0.6


def test_a_side_that_fails_says_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MetricError, match=r"seetell could not score these files \(exit code 1\): FileNotFoundError.*asked"):
        _run(OURS, tmp_path / "asked", tmp_path, tmp_path / "cache")
    assert not (tmp_path / "seetell.json").exists()
    monkeypatch.setattr(bench_metrics.util, "find_spec", lambda name: None)
    with pytest.raises(MetricUnavailable, match="pip install"):
        bench_metrics.measure([])
