"""Entries of the configuration that the program writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from montage_ai.errors import ConfigError, UserError
from montage_ai.offload.adding import add_entry
from montage_ai.offload.kinds import RaySettings, SshSettings
from montage_ai.offload.settings import load_settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "executors.toml"


def test_an_entry_is_read_back_as_it_was_meant(path: Path) -> None:
    add_entry(path, "studio", "ssh", {"host": 'a "host"', "port": "2222", "identity_file": "~/my key"})
    add_entry(path, "many", "ray", {"address": "10.0.0.5:6379"})
    found = load_settings(path)
    studio, many = found.executor("studio"), found.executor("many")
    assert isinstance(studio, SshSettings)
    assert (studio.host, studio.port, studio.identity_file) == ('a "host"', 2222, Path("~/my key"))
    assert isinstance(many, RaySettings)


def test_what_stands_there_stays_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('# mine\nobjective = "time"')
    add_entry(path, "hub", "jupyter", {"url": "https://hub.example.org/user/ada/"})
    assert path.read_text().startswith('# mine\nobjective = "time"\n')
    with pytest.raises(UserError, match="already"):
        add_entry(path, "hub", "cgpu", {})
    assert path.read_text().count("[executors.hub]") == 1


@pytest.mark.parametrize(
    ("name", "kind", "given", "told"),
    [
        ("auto", "ssh", {"host": "x"}, "cannot be an executor's name"),
        ("x", "carrier-pigeon", {}, "no kind"),
        ("x", "ssh", {}, "'host' is missing"),
        ("x", "ssh", {"host": "x", "password": "hunter2"}, "no setting 'password'"),
        ("x", "ssh", {"host": "x", "port": "many"}, "port is 'many'"),
        ("x", "ssh", {"host": "x", "kind": "ray"}, "kind"),
        ("x", "ray", {"address": "nonsense"}, "address cannot be 'nonsense'"),
        ("x", "ssh", {"host": "x", "check_host_key": "false"}, "proxy_command"),
        ("x", "jupyter", {"url": "http://ada:hunter2@host/user/ada/"}, "token_env"),
    ],
)
def test_what_cannot_be_is_told_and_not_written(
    path: Path, name: str, kind: str, given: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=told) as caught:
        add_entry(path, name, kind, given)
    assert "hunter2" not in str(caught.value)
    assert not path.exists()


def test_a_file_that_nothing_can_be_appended_to_stays_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    text = 'executors = {box = {kind = "ssh", host = "box"}}\n'
    path.write_text(text)
    with pytest.raises(ConfigError):
        add_entry(path, "hub", "cgpu", {})
    assert path.read_text() == text


@pytest.mark.skipif(sys.platform == "win32", reason="programs are named otherwise")
def test_colab_through_google_s_own_client(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="not installed"):
        add_entry(path, "colab", "ssh", {})
    client = tmp_path / "colab"
    client.write_text("#!/bin/sh\n")
    client.chmod(0o755)
    add_entry(path, "colab", "ssh", {"slots": "2"})
    settings = load_settings(path).executor("colab")
    assert isinstance(settings, SshSettings)
    assert settings.proxy_command == (str(client), "ssh", "--proxy-mode", "-s", "montage-ai")
    assert (settings.user, settings.slots) == ("root", 2)
    assert str(client) in settings.identity  # consent is for this way
