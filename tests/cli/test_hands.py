"""What hands do at the command line: mistype, ask for help, complete, look at what is kept, and remove it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from montage_ai import config
from montage_ai.api.storage import clean, storage
from montage_ai.cli import COMMANDS, options
from montage_ai.cli.display import showing
from montage_ai.cli.examples import EXAMPLES
from montage_ai.cli.tables import print_table
from montage_ai.errors import UserError
from montage_ai.events import Notice, StageProgress, StageStarted
from montage_ai.offload.cache import in_use


def ran(*arguments: str, **given: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "montage_ai", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **given)  # type: ignore[call-overload,no-any-return]


class TestHelp:
    def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(self) -> None:
        done = ran("stabilise")
        assert done.returncode == 2
        assert "Did you mean `stabilize`?" in done.stderr
        assert len(done.stderr.splitlines()) == 1  # not the whole help
        assert "Did you mean" not in ran("xyzzy").stderr

    def test_help_is_a_command_too(self) -> None:
        assert ran("help").stdout == ran("--help").stdout == ran("-h").stdout
        assert ran("help", "make").stdout == ran("make", "--help").stdout
        assert ran("help", "offload", "plan").stdout == ran("offload", "plan", "--help").stdout
        assert ran("-V").stdout == ran("--version").stdout

    def test_every_command_has_examples_that_it_understands(self) -> None:
        assert EXAMPLES.keys() == COMMANDS.keys()
        helps = {name: ran(name, "--help").stdout for name in ("make", "search", "offload")}
        for name, text in helps.items():
            assert all(example in text for example in EXAMPLES[name])

    def test_a_closed_stderr_does_no_harm(self) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", f"{sys.executable} -m montage_ai styles --json 2>&-"], capture_output=True, check=False
        )
        assert done.returncode == 0
        assert b"dynamic" in done.stdout


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1:30", 90), ("0:01:30.5", 90.5), ("12.25", 12.25), ("-3", -3)]
)
def test_lengths_are_given_as_people_write_them(text: str, seconds: float) -> None:
    assert options.seconds(text) == seconds  # what cannot be is told by the brief


@pytest.mark.parametrize("text", ["", "1:2:3:4", "a", "1:-5", "1:xx"])
def test_what_is_no_length_is_told(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="1:30"):
        options.seconds(text)


def test_quiet_leaves_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(as_json=False, quiet=True) as emit:
        emit(StageStarted("Rendering", 10.0, "frames"))
        emit(StageProgress("Rendering", 5.0, ""))
        emit(Notice("info", "by the way"))
        emit(Notice("warning", "a clip is broken"))
    said = capsys.readouterr()
    assert said.err == "Warning: a clip is broken\n"
    assert said.out == ""


def test_a_new_folder_is_told(tmp_path: Path) -> None:
    told: list[object] = []
    options.tell_new_folder(tmp_path / "film.mp4", told.append)
    assert told == []
    options.tell_new_folder(tmp_path / "new" / "film.mp4", told.append)
    assert told == [Notice("info", "is a new folder: it is made.", tmp_path / "new")]


def test_a_table_on_a_narrow_terminal_keeps_its_words_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("montage_ai.cli.tables._WITHOUT_TERMINAL", 40)
    print_table(
        ("clip", "shot", "from", "to", "what"), [("a long name of a clip.mp4", "3", "1.0", "2.5", "sunset over water")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert "clip  a long name of a clip.mp4" in lines
    assert "what  sunset over water" in lines


class TestStorage:
    def fill(self) -> Path:
        segments = config.cache_dir() / "segments"
        segments.mkdir(parents=True)
        (segments / "a.mp4").write_bytes(bytes(1_000_000))
        (config.data_dir() / "library.sqlite").write_bytes(bytes(10_000))
        return segments / "a.mp4"

    def test_what_is_kept_is_shown_with_its_size(self) -> None:
        segment = self.fill()
        found = {kept.path: kept for kept in storage()}
        assert found[segment.parent].size == 1_000_000
        assert found[segment.parent].can_be_made_again
        assert found[config.data_dir() / "library.sqlite"].size == 10_000
        assert not found[config.data_dir() / "library.sqlite"].can_be_made_again
        assert all(kept.meaning for kept in found.values())

    def test_what_can_be_made_again_is_removed_and_nothing_else(self) -> None:
        segment = self.fill()
        assert clean() == 1_000_000
        assert not segment.exists()
        assert (config.data_dir() / "library.sqlite").exists()
        clean(library=True)
        assert not (config.data_dir() / "library.sqlite").exists()

    def test_what_a_program_uses_stays(self) -> None:
        config.cache_dir().mkdir(parents=True, exist_ok=True)
        with in_use(config.cache_dir()):
            segment = self.fill()
            clean()
            assert segment.exists()

    def test_one_folder_for_all_is_counted_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on a Mac, where settings and data share one, and on Windows, where the cache lies in it."""
        monkeypatch.setattr(config, "settings_dir", config.data_dir)
        monkeypatch.setattr(config, "cache_dir", lambda: config.data_dir() / "Cache")
        (config.data_dir() / "Cache").mkdir()
        self.fill()
        assert [kept.path.name for kept in storage()] == ["segments", "library.sqlite"]

    def test_the_library_stays_while_a_program_uses_it(self) -> None:
        self.fill()
        with in_use(config.cache_dir()), pytest.raises(UserError, match="running"):
            clean(library=True)

    def test_the_library_is_not_removed_without_being_asked(self) -> None:
        self.fill()
        done = ran("clean", "--library", stdin=subprocess.DEVNULL)
        assert done.returncode == 2
        assert "--yes" in done.stderr
        assert (config.data_dir() / "library.sqlite").exists()

    def test_a_cache_size_that_cannot_be_is_told_before_the_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MONTAGE_AI_CACHE_GB", "lots")
        with pytest.raises(UserError, match="lots"), in_use(config.cache_dir()):
            pass


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
class TestCompletion:
    @pytest.mark.parametrize(
        ("words", "offered"),
        [
            (["sta"], {"stabilize"}),
            (["make", "--st"], {"--style", "--stabilize"}),
            (["offload", "pl"], {"plan"}),
            (["offload", "add", "--v"], {"--via"}),
            (["make", "--quality", "preview", "--asp"], {"--aspect"}),
        ],
    )
    def test_bash_offers_what_fits(self, words: list[str], offered: set[str], tmp_path: Path) -> None:
        script = tmp_path / "completion.bash"
        script.write_text(ran("completion", "bash").stdout)
        asked = " ".join(["montage-ai", *words])
        line = f'source {script}; COMP_WORDS=({asked}); COMP_CWORD={len(words)}; _montage_ai; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) >= offered

    @pytest.mark.parametrize("shell", ["zsh", "fish"])
    def test_other_shells_get_a_script_too(self, shell: str) -> None:
        assert "stabilize" in ran("completion", shell).stdout


def test_the_doctor_looks_at_databases_and_settings() -> None:
    well = ran("doctor", "--json")
    assert well.returncode == 0
    (config.data_dir() / "jobs.sqlite").write_bytes(b"this is no database, but is as long as one might be" * 20)
    (config.settings_dir() / "executors.toml").write_text("x = ")
    ill = ran("doctor")
    assert ill.returncode == 2
    failed = [line for line in ill.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in failed] == ["jobs:", "executors:"]
    assert "Traceback" not in ill.stderr
