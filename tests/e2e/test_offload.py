"""Heavy steps on another machine, as a person has them: over a real SSH server, from the command line."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.loopback.cgpu import cgpu
from benchmarks.loopback.colab import colab
from benchmarks.loopback.jupyter import jupyter
from benchmarks.loopback.ray_cluster import RayCluster
from benchmarks.loopback.sshd import Sshd, sshd
from montage_ai.media.ffmpeg import ffmpeg_path
from tests.e2e.conftest import Program
from tests.e2e.starting import Ran

Executors = Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def far(tmp_path: Path) -> Path:
    return tmp_path / "far"


def configuration(server: Sshd, far: Path, name: str = "box", **more: object) -> str:
    lines = {
        "kind": "ssh",
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "identity_file": str(server.key),
        "known_hosts": str(server.known_hosts),
        "work_dir": str(far),
        "python": sys.executable,
    } | more
    shown = (
        f"{key} = {value if isinstance(value, int) else chr(34) + str(value) + chr(34)}" for key, value in lines.items()
    )
    return f"[executors.{name}]\n" + "\n".join(shown) + "\n"


@pytest.fixture
def box(home: Path, server: Sshd, far: Path) -> Path:
    """A configuration with one executor; nothing is enabled yet."""
    path = home / "settings" / "executors.toml"
    path.parent.mkdir(parents=True)
    path.write_text(configuration(server, far))
    return path


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]


def ssim(one: Path, two: Path) -> float:
    """Of the pictures of two clips, as FFmpeg measures it."""
    command = [ffmpeg_path(), "-hide_banner", "-i", one, "-i", two, "-lavfi", "ssim", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(said.rpartition("All:")[2].split()[0])


def executors_of(program: Program) -> list[tuple[str, str, str]]:
    return [(row["state"], row["executor"], row["variant"]) for row in program("jobs", "list", "--json").events]


class TestConsent:
    def test_nothing_goes_to_a_machine_that_is_not_enabled(
        self, program: Program, box: Path, footage: Path, far: Path
    ) -> None:
        ran = program("stabilize", footage / "handheld.mp4", "-o", "out.mp4", "--offload", "box")
        assert ran.code == 2
        assert "offload enable box" in ran.err
        assert program("stabilize", footage / "handheld.mp4", "-o", "out.mp4").code == 0
        assert not far.exists()
        assert [where for _, where, _ in executors_of(program)] == ["local"]

    def test_an_executor_that_may_not_be_used_is_told_before_anything_is_done(
        self, program: Program, box: Path, footage: Path, music: Path
    ) -> None:
        for name in ("box", "bix"):
            ran = program("make", footage, "--music", music, "-o", "film.mp4", "--offload", name)
            assert ran.code == 2
            assert name in ran.err
            assert "Looking at the footage" not in ran.err

    def test_without_a_terminal_and_without_yes_it_is_refused(self, program: Program, box: Path) -> None:
        ran = program("offload", "enable", "box")
        assert ran.code == 2
        assert "--yes" in ran.err

    def test_it_is_given_once_and_taken_back(self, program: Program, box: Path, footage: Path, far: Path) -> None:
        assert program("offload", "enable", "box", "--yes").code == 0
        assert "answers in" in program("offload", "status").out
        assert program("offload", "disable", "box").code == 0
        assert "not enabled" in program("offload", "status").out
        assert program("stabilize", footage / "handheld.mp4", "-o", "out.mp4", "--offload", "box").code == 2

    def test_another_host_under_the_same_name_is_asked_for_again(
        self, program: Program, box: Path, server: Sshd, far: Path
    ) -> None:
        program("offload", "enable", "box", "--yes")
        box.write_text(configuration(server, far, user="somebody-else"))
        assert "not enabled" in program("offload", "status").out


class TestStabilizing:
    @pytest.fixture(autouse=True)
    def enabled(self, program: Program, box: Path) -> None:
        assert program("offload", "enable", "box", "--yes").code == 0

    def test_a_clip_comes_back_as_it_would_have_been_made_here(
        self, program: Program, footage: Path, far: Path, tmp_path: Path
    ) -> None:
        source = footage / "handheld.mp4"
        before = source.read_bytes()
        assert program("stabilize", source, "-o", "there.mp4", "--offload", "box").code == 0
        ((state, where, variant),) = executors_of(program)
        assert (state, where) == ("done", "box")
        shutil.rmtree(tmp_path / "home" / "cache")
        assert program("stabilize", source, "-o", "here.mp4", "--offload", "never", "--force").code == 0
        there, here = tmp_path / "there.mp4", tmp_path / "here.mp4"
        assert len(frames(there)) == len(frames(here)) == len(frames(source))
        assert ssim(there, here) > (0.999 if variant == "there" else 0.9)
        assert source.read_bytes() == before
        assert [path for name in ("jobs", "blobs") for path in (far / name).glob("*")] == []

    @pytest.mark.usefixtures("known")
    @pytest.mark.slow
    def test_a_film_is_the_same_wherever_its_motions_were_measured(
        self, program: Program, footage: Path, music: Path, tmp_path: Path
    ) -> None:
        command = ("make", footage / "handheld.mp4", footage / "ball.mp4", "--music", music, "--duration", 6)
        options = ("--stabilize", "always", "--quality", "preview", "--json")
        there = program(*command, "-o", "there.mp4", *options, "--offload", "box")
        assert there.code == 0, there.err
        assert {where for _, where, _ in executors_of(program)} == {"box"}
        shutil.rmtree(tmp_path / "home" / "cache")
        here = program(*command, "-o", "here.mp4", *options, "--offload", "never")
        assert here.code == 0, here.err
        assert there.film["frames"] == here.film["frames"] == len(frames(tmp_path / "there.mp4"))
        assert ssim(tmp_path / "there.mp4", tmp_path / "here.mp4") > 0.9

    def test_a_machine_that_is_away_costs_a_notice_and_the_work_is_done_here(
        self, program: Program, box: Path, server: Sshd, far: Path, footage: Path
    ) -> None:
        text = configuration(server, far).replace(f"port = {server.port}", "port = 9")
        box.write_text(text)
        program("offload", "enable", "box", "--yes")
        ran = program("stabilize", footage / "handheld.mp4", "-o", "out.mp4", "--offload", "box")
        assert ran.code == 0, ran.err
        assert "cannot be reached" in ran.err
        assert "left alone" in ran.err
        again = program("stabilize", footage / "ball.mp4", "-o", "more.mp4", "--offload", "box")
        assert again.code == 0
        assert "cannot be reached" not in again.err  # it is left alone for a while

    @pytest.mark.slow
    def test_real_footage_over_a_real_server(self, program: Program, shared: Path, tmp_path: Path) -> None:
        clip = shared / "video" / "rooftop_shaky_handheld.mp4"
        ran = program("stabilize", clip, "-o", "steady.mp4", "--offload", "box")
        assert ran.code == 0, ran.err
        assert len(frames(tmp_path / "steady.mp4")) == len(frames(clip))

    def test_status_says_what_the_machine_is(self, program: Program, footage: Path) -> None:
        before = program("offload", "status").out
        assert "not set up yet" in before
        program("stabilize", footage / "handheld.mp4", "-o", "out.mp4", "--offload", "box")
        after = program("offload", "status").out
        assert "with libvidstab" in after
        assert "Mbit/s up" in after
        (event,) = program("offload", "status", "--json").events
        assert (event["name"], event["enabled"], event["reachable"]) == ("box", True, True)
        assert event["machine"]["processors"] >= 1


class TestPlanning:
    def test_the_plan_of_a_command_is_shown_and_nothing_runs(
        self, program: Program, box: Path, footage: Path, far: Path
    ) -> None:
        program("offload", "enable", "box", "--yes")
        ran = program("offload", "plan", "stabilize", footage / "handheld.mp4", "-o", "out.mp4")
        assert ran.code == 0, ran.err
        for word in ("box", "local", "there", "proxy", "here", "ends after"):
            assert word in ran.out
        assert not far.exists()
        assert executors_of(program) == []

    @pytest.mark.usefixtures("known")
    def test_a_film_s_plan_says_why_rendering_stays(
        self, program: Program, box: Path, footage: Path, music: Path
    ) -> None:
        program("offload", "enable", "box", "--yes")
        command = ("make", footage, "--music", music, "--duration", "6", "-o", "film.mp4", "--stabilize", "always")
        (plan,) = [e for e in program("offload", "plan", "--json", *command).events if e["event"] == "plan"]
        (kept,) = plan["kept"]
        assert kept["task"] == "render"
        assert "travel" in kept["reason"]
        assert all({option["executor"] for option in row["options"]} == {"local", "box"} for row in plan["rows"])

    def test_only_commands_with_heavy_steps_have_one(self, program: Program) -> None:
        assert program("offload", "plan", "beats", "x.mp3").code == 2

    def test_the_report_compares_here_and_there(
        self, program: Program, box: Path, footage: Path, tmp_path: Path
    ) -> None:
        program("offload", "enable", "box", "--yes")
        assert "Nothing to compare yet" in program("offload", "report").out
        for mode, name in (("never", "handheld.mp4"), ("box", "ball.mp4")):
            program("stabilize", footage / name, "-o", f"{mode}.mp4", "--offload", mode)
        assert "stabilize" in program("offload", "report").out
        assert program("offload", "report", "-o", "report.html").code == 0
        page = (tmp_path / "report.html").read_text()
        assert "<svg" in page
        assert "break-even uplink" in page
        assert "http" not in page.replace("http-equiv", "")
        assert program("offload", "report", "-o", "report.md").code == 0
        assert "| stabilize |" in (tmp_path / "report.md").read_text()
        assert program("offload", "report", "-o", "report.pdf").code == 2


class TestConfiguration:
    def refused(self, program: Program, home: Path, text: str) -> Ran:
        path = home / "settings" / "executors.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        ran = program("offload", "status")
        assert ran.code == 2
        assert str(path) in ran.err
        return ran

    def test_a_misspelt_key_is_named_with_its_line_and_the_allowed_ones(self, program: Program, home: Path) -> None:
        said = self.refused(program, home, '# mine\n[executors.box]\nkind = "ssh"\nhost = "x"\nprot = 22\n').err
        assert "line 5" in said
        assert "'prot'" in said
        assert "identity_file" in said

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("objective = ", "not valid TOML"),
            ('objective = "money"', "objective is 'money'"),
            ("[executors.box]\nhost = 'x'", "kind"),
            ('[executors.box]\nkind = "carrier-pigeon"', "kind"),
            ('[executors.box]\nkind = "ssh"', "'host' is missing"),
            ('[executors.box]\nkind = "ssh"\nhost = "x"\nport = 99999', "line 4: port is 99999"),
            ('[executors.local]\nkind = "ssh"\nhost = "x"', "cannot be an executor's name"),
            ('[executors."a b"]\nkind = "ssh"\nhost = "x"', "cannot be an executor's name"),
        ],
    )
    def test_what_cannot_be_is_named(self, program: Program, home: Path, text: str, expected: str) -> None:
        assert expected in self.refused(program, home, text).err

    def test_a_secret_that_is_not_there_is_named_and_never_shown(
        self, program: Program, box: Path, server: Sshd, far: Path, footage: Path, tmp_path: Path
    ) -> None:
        box.write_text(configuration(server, far, password_env="MISSING_SECRET"))
        program("offload", "enable", "box", "--yes")
        ran = program("offload", "status")
        assert "MISSING_SECRET" in ran.out + ran.err
        secret = tmp_path / "secret"
        secret.write_text("hunter2\n")
        box.write_text(configuration(server, far, passphrase_file=str(secret)))
        program("offload", "enable", "box", "--yes")
        ran = program("stabilize", footage / "handheld.mp4", "-o", "out.mp4", "--offload", "box")
        assert "hunter2" not in ran.out + ran.err

    def test_an_executor_that_is_not_there_is_told_with_those_that_are(self, program: Program, box: Path) -> None:
        ran = program("offload", "enable", "bix", "--yes")
        assert ran.code == 2
        assert "'bix'" in ran.err
        assert "box" in ran.err


class TestJobs:
    def test_a_failed_job_is_shown_and_done_again(self, program: Program, footage: Path, tmp_path: Path) -> None:
        clip = tmp_path / "clip.mp4"
        shutil.copy(footage / "handheld.mp4", clip)
        assert program("stabilize", clip, "-o", "out.mp4").code == 0
        listed = program("jobs", "list")
        assert "done" in listed.out
        (job,) = program("jobs", "list", "--json").events
        shown = program("jobs", "show", job["id"][:8])
        assert "predicted" in shown.out
        assert program("jobs", "show", "nothing").code == 2
        assert "no such job" in program("jobs", "retry").out
        assert program("jobs", "clean", "--days", "0").code == 0
        assert program("jobs", "list").out.strip() == "No job was ever made."

    def test_a_job_that_was_left_is_given_up_at_once_or_done_again(
        self, program: Program, footage: Path, home: Path
    ) -> None:
        from dataclasses import replace

        from montage_ai.media.files import sha256
        from montage_ai.offload.states import State
        from montage_ai.offload.store import JobRow, Store
        from montage_ai.tasks.stabilize import Stabilize
        from montage_ai.tasks.task import InputFile

        source = footage / "handheld.mp4"
        task = Stabilize(source=InputFile(path=source, sha256=sha256(source)))
        row = JobRow(
            "a" * 36,
            "k",
            "stabilize",
            "here",
            "",
            State.RUNNING,
            None,
            1.0,
            0,
            1.0,
            1.0,
            about=source.name,
            parameters=task.model_dump_json(),
        )
        store = Store(home / "data")
        store.add(row)
        store.add(replace(row, id="b" * 36))
        store.close()
        assert "left" in program("jobs", "list").out
        assert program("jobs", "cancel").code == 2
        assert program("jobs", "cancel", "bbbb").code == 0
        assert program("jobs", "retry", "aaaa").code == 0
        assert {(r["id"][0], r["state"]) for r in program("jobs", "list", "--json").events} == {
            ("a", "done"),
            ("b", "cancelled"),
        }
        assert "No job" in program("jobs", "watch").out or program("jobs", "watch").code == 0


SLOW_PLACES = {
    "cgpu": [pytest.mark.slow],
    "cgpu by its commands": [pytest.mark.slow],
    "ray": [pytest.mark.slow, pytest.mark.ray],
}


class TestPlaces:
    """The same clip on every kind of machine gives the same film."""

    @pytest.fixture(params=["jupyter", *(pytest.param(one, marks=marks) for one, marks in SLOW_PLACES.items())])
    def place(
        self, request: pytest.FixtureRequest, home: Path, far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[str]:
        """The name of an executor that is configured."""
        settings = {"work_dir": str(far), "python": sys.executable}
        with contextlib.ExitStack() as stack:
            if request.param == "ray":
                cluster: RayCluster = request.getfixturevalue("cluster")
                monkeypatch.setenv("CLUSTER_TOKEN", cluster.token)
                settings = {"kind": "ray", "address": cluster.address, "token_env": "CLUSTER_TOKEN"}
            elif request.param == "jupyter":
                server = stack.enter_context(jupyter(tmp_path / "jupyter"))
                monkeypatch.setenv("HUB_TOKEN", server.token)
                settings |= {"kind": "jupyter", "url": server.url, "token_env": "HUB_TOKEN"}
                settings["work_dir"] = str(far).lstrip("/")
            else:
                google = stack.enter_context(colab(tmp_path / "colab"))
                double = cgpu(tmp_path / "cgpu", google.url)
                double.set_noisy()
                for name, value in double.environment.items():
                    monkeypatch.setenv(name, value)
                settings |= {"kind": "cgpu", "token_url": f"{google.url}/token"}
                if request.param != "cgpu":
                    settings["road"] = "commands"
            lines = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
            path = home / "settings" / "executors.toml"
            path.parent.mkdir(parents=True)
            path.write_text(f"[executors.place]\n{lines}\n")
            yield "place"

    def test_a_clip_comes_back_as_it_would_have_been_made_here(
        self, program: Program, place: str, footage: Path, tmp_path: Path
    ) -> None:
        source = footage / "handheld.mp4"
        assert program("offload", "enable", place, "--yes").code == 0
        ran = program("stabilize", source, "-o", "there.mp4", "--offload", place)
        assert ran.code == 0, ran.err
        ((state, where, _),) = executors_of(program)
        assert (state, where) == ("done", place), ran.err
        assert "runtime" in program("offload", "status").out
        shutil.rmtree(tmp_path / "home" / "cache")
        assert program("stabilize", source, "-o", "here.mp4", "--offload", "never", "--force").code == 0
        there, here = tmp_path / "there.mp4", tmp_path / "here.mp4"
        assert len(frames(there)) == len(frames(here))
        assert ssim(there, here) > 0.97
