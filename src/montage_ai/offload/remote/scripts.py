"""The shell scripts that are run on other machines. All may be run twice.

In the folder of ours there:

    program/DIGEST/     the worker and all below it
    environment.json    which Python to use; environment-DIGEST/ where one had to be made
    blobs/              files by content; see ``transfer``
    jobs/JOB/           job.json, inputs/, outputs/, ... as everywhere, and
      boot, pid, exit   the machine's life in which it was started, its process group, and how that ended

A job is lost only with its machine's life: when its directory is gone, or was started in another life.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence

from montage_ai.parallel import AT_ONCE

OLD = 7  # days after which what nobody asked for is removed

_BOOT = """\
boot() {
  cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.bootsessionuuid 2>/dev/null || echo unknown;
}
"""

_ALIVE = """\
# alive JOB: whether its process group runs, and is the one that was started (numbers of processes come again)
born() { [ ! -r /proc/$1/stat ] || sed 's/.*) //' /proc/$1/stat | cut -d' ' -f20; }
alive() {
  [ -f jobs/$1/pid ] && [ ! -f jobs/$1/exit ] || return 1
  read -r pid began < jobs/$1/pid
  kill -0 $pid 2>/dev/null && [ "$(born $pid)" = "$began" ]
}
"""

_END = """\
# end SIGNAL: the process group that was found alive; not every shell's kill knows all forms
end() { kill -s $1 -- -$pid 2>/dev/null || kill -$1 -$pid 2>/dev/null || kill -$1 $pid 2>/dev/null; }
"""


def hello(program: str) -> str:
    """Who is there: its life, what is ready, free kilobytes, and the jobs that lie there."""
    return f"""{_BOOT}
mkdir -p jobs blobs program || exit 3
find jobs blobs -mindepth 1 -maxdepth 1 -mtime +{OLD} -exec rm -rf {{}} + 2>/dev/null
echo boot $(boot)
[ -f program/{program}/ready ] && [ -s environment.json ] && echo environment $(base64 < environment.json | tr -d '\\n')
echo free $(df -Pk . | tail -1 | awk '{{print $4}}')
for job in $(ls jobs); do echo job $job; done
echo hello"""


def find_python(configured: str | None) -> str:
    """Each Python that is there: its version, its path."""
    names = _quoted(configured) if configured else "python3.14 python3.13 python3.12 python3.11 python3 python"
    return f"""\
for name in {names}; do
  path=$(command -v "$name") || continue
  version=$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) && echo $version "$path"
done
echo listed"""


def _quoted(path: str) -> str:
    """For the shell, with ``~/`` as what it means there."""
    return '"$HOME"/' + shlex.quote(path[2:]) if path.startswith("~/") else shlex.quote(path)


def unpack(program: str, blob: str, python: str) -> str:
    """The program, from the zip that was sent."""
    return f"""\
if [ ! -f program/{program}/ready ]; then
  rm -rf program/{program}.new && {shlex.quote(python)} -m zipfile -e {blob} program/{program}.new || exit 4
  rm -f environment.json; rm -rf program/{program}
  mv program/{program}.new program/{program} && touch program/{program}/ready || exit 4
fi
rm -f {blob}
for other in $(ls program); do
  [ $other = {program} ] || find program/$other -maxdepth 0 -mtime +1 -exec rm -rf {{}} +
done
echo unpacked"""


def make_environment(program: str, python: str, requirements: Sequence[str]) -> str:
    """The worker's Python; the answer is environment.py's."""
    arguments = " ".join(map(shlex.quote, requirements))
    script = f"program/{program}/montage_ai/worker/environment.py"
    return f"{shlex.quote(python)} -I {script} . {arguments}; echo made"


def doctor(program: str, python: str) -> str:
    return f"{worker(program, python)} doctor; echo examined"


def worker(program: str, python: str) -> str:
    """How the worker is called, with the folder that it keeps its own things in."""
    return (
        f'PYTHONPATH="$PWD/program/{program}" MONTAGE_AI_HOME="$PWD/home" PYTHONDONTWRITEBYTECODE= '
        f"{shlex.quote(python)} -P -m montage_ai.worker"
    )


def announce(job: str, digests: Sequence[str]) -> str:
    """Note what is about to be sent for a job, so that it is found and removed whatever happens."""
    return f"""{_BOOT}
if [ -f jobs/{job}/boot ] && [ "$(cat jobs/{job}/boot)" != "$(boot)" ]; then rm -rf jobs/{job}; fi
mkdir -p jobs/{job} && echo "{" ".join(digests)}" > jobs/{job}/digests || exit 4"""


def stage(job: str, spec: str, inputs: Sequence[tuple[str, str]]) -> str:
    """A job's directory, its inputs linked from the blobs. What another life of the machine left there goes first."""
    links = "\n".join(
        f"[ -f inputs/{name} ] || ln ../../blobs/{digest} inputs/{name} 2>/dev/null || "
        f"cp ../../blobs/{digest} inputs/{name} || exit 4"
        for name, digest in inputs
    )
    encoded = base64.encodebytes(spec.encode()).decode("ascii")
    return f"""{_BOOT}
if [ -f jobs/{job}/boot ] && [ "$(cat jobs/{job}/boot)" != "$(boot)" ]; then rm -rf jobs/{job}; fi
mkdir -p jobs/{job}/inputs && cd jobs/{job} || exit 4
{links}
base64 -d > job.json.new <<'END' || exit 4
{encoded}END
mv job.json.new job.json || exit 4
cd ../.."""


def start(job: str, program: str, python: str, at_once: int, seconds: float) -> str:
    """Start a job's worker, if it was not started, and follow it. ``at_once`` are as many as run beside each other.

    It gets no terminal, nothing to read, and a session of its own. Whoever makes ``started`` is the one who starts, so
    that of two calls only one does.
    """
    return f"""{_BOOT}{_ALIVE}
[ -f jobs/{job}/job.json ] && [ -f program/{program}/ready ] || {{ echo gone; echo followed; exit; }}
cd jobs/{job}
if [ ! -f result.json ] && mkdir started 2>/dev/null; then
  boot > boot
  cat > run.sh <<'END'
{_ALIVE}
echo $$ $(born $$) > pid.new; mv pid.new pid
cd ../..
{AT_ONCE}={at_once} {worker(program, python)} jobs/{job} > /dev/null 2> jobs/{job}/log.txt
echo $? > jobs/{job}/exit.new; mv jobs/{job}/exit.new jobs/{job}/exit
END
  nohup {shlex.quote(python)} -c 'import os; os.setsid(); os.execvp("sh", ["sh", "run.sh"])' \
    </dev/null >/dev/null 2>&1 &
  tries=0; while [ ! -f pid ] && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
cd ../..
{_following(job, seconds)}"""


def follow(job: str, seconds: float) -> str:
    """How a job is: waits up to ``seconds`` for its end, then tells all."""
    return f"""{_BOOT}{_ALIVE}
if [ ! -d jobs/{job} ]; then echo gone; echo followed; exit; fi
{_following(job, seconds)}"""


def _following(job: str, seconds: float) -> str:
    rounds = max(1, round(seconds / 0.1))
    return f"""\
round=0
while [ $round -lt {rounds} ] && [ ! -f jobs/{job}/result.json ] && alive {job}; do
  sleep 0.1; round=$((round + 1))
done
alive {job} && echo alive
[ -d jobs/{job} ] || echo gone
[ ! -f jobs/{job}/boot ] || [ "$(cat jobs/{job}/boot)" = "$(boot)" ] || echo gone
[ ! -f jobs/{job}/status.json ] || echo status $(cat jobs/{job}/status.json)
[ ! -f jobs/{job}/exit ] || echo exit $(cat jobs/{job}/exit)
[ ! -f jobs/{job}/result.json ] || echo result $(tr -d '\\n' < jobs/{job}/result.json | base64 | tr -d '\\n')
[ -f jobs/{job}/result.json ] || [ ! -f jobs/{job}/log.txt ] ||
  echo log $(tail -c 600 jobs/{job}/log.txt | base64 | tr -d '\\n')
echo followed"""


def discard(job: str, digests: Sequence[str]) -> str:
    """End a job if it runs, and remove what was made for it: also its inputs, where no other job there has them."""
    return f"""{_ALIVE}{_END}
if alive {job}; then
  end TERM
  tries=0; while alive {job} && [ $tries -lt 20 ]; do sleep 0.1; tries=$((tries + 1)); done
  end KILL
fi
digests="$(cat jobs/{job}/digests 2>/dev/null) {" ".join(digests)}"
rm -rf jobs/{job}
for digest in $digests; do
  rm -rf blobs/$digest.parts
  [ ! -f blobs/$digest ] || [ "$(ls -ld blobs/$digest | awk '{{print $2}}')" -gt 1 ] || rm -f blobs/$digest
done
echo discarded"""


_DIGEST = "[0-9a-f]" * 16


def uninstall() -> str:
    """End all jobs, and remove all that was put there: the folder too, if it then is empty.

    Only what is named as we name things goes: somebody may have chosen a folder that holds other things.
    """
    return f"""{_ALIVE}{_END}
for job in $(ls jobs 2>/dev/null); do
  if alive $job; then end KILL; fi
done
rm -rf jobs/*-*-*-*-*-* blobs/{_DIGEST}* program/{_DIGEST}* environment-{"[0-9a-f]" * 8} || exit 4
rm -f environment.json environment.json.new constraints.txt wheels/*.whl
rm -rf home/cache home/data home/settings
rmdir jobs blobs program wheels home 2>/dev/null
here=$PWD; cd / && rmdir "$here" 2>/dev/null
echo removed"""
