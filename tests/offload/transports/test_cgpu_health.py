"""Whether ``cgpu`` can be used, from memory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import montage_ai
from benchmarks.loopback.cgpu import Cgpu
from montage_ai import config
from montage_ai.offload.transports.cgpu.health import CgpuHealth


@pytest.fixture
def health() -> CgpuHealth:
    return CgpuHealth("cgpu", config.data_dir() / "cgpu")


def test_it_is_available_where_it_is_installed_and_logged_in(
    cgpu_double: Cgpu, health: CgpuHealth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    health.refresh()
    assert montage_ai.is_cgpu_available()
    cgpu_double.session.unlink()
    assert not montage_ai.is_cgpu_available()
    cgpu_double.log_in()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not montage_ai.is_cgpu_available()


def test_the_answer_does_not_wait_for_cgpu_which_is_asked_once_meanwhile(cgpu_double: Cgpu, health: CgpuHealth) -> None:
    cgpu_double.set(latency=1.0)
    assert all(health.available for _ in range(100))
    assert cgpu_double.calls == []
    deadline = time.monotonic() + 30
    while not (config.data_dir() / "cgpu" / "health.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert health.available
    assert len(cgpu_double.calls) == 1


def test_what_was_said_last_is_remembered(cgpu_double: Cgpu, health: CgpuHealth) -> None:
    cgpu_double.set(refresh=500)
    health.refresh()
    assert cgpu_double.session.exists()  # cgpu has deleted it, and it was put back
    assert not health.available
    cgpu_double.set()
    health.refresh()
    assert health.available
