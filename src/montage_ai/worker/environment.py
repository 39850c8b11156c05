"""Make this machine ready for the worker: run by any Python 3.11 or later, with nothing but its standard library.

    python environment.py FOLDER REQUIREMENT...     answers with a line of JSON, and in FOLDER/environment.json

Where the Python that runs this has all that is required, it is used as it is. Else a virtual environment is made in
FOLDER/environment that sees its packages, and what is missing is installed there; nothing that is installed already is
replaced, unless it is what is required in another version. Wheels that lie in FOLDER/wheels are used instead of an
index.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

_PIP_TIMEOUT = 1200


def main(folder: Path, requirements: list[str]) -> dict[str, Any]:
    """Make the environment; say which Python to use, or why there is none."""
    lacking = missing(requirements)
    if not lacking:
        return {"python": sys.executable, "installed": []}
    (folder / "environment.json").unlink(missing_ok=True)  # until this one is ready, none is
    wanted = hashlib.sha256("\n".join([sys.version, *sorted(requirements)]).encode()).hexdigest()
    environment = folder / f"environment-{wanted[:8]}"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    venv.EnvBuilder(system_site_packages=True, with_pip=False, clear=True).create(environment)
    if sys.prefix != sys.base_prefix:  # made inside another, it sees only the base's packages
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        inner = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
        (Path(inner) / "outer.pth").write_text("".join(f"{path}\n" for path in sorted(paths)), "utf-8")
    wheels = folder / "wheels"
    pip = _pip(wheels)
    if pip is None:
        return {"reason": "no pip", **_platform()}
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in _constraints(lacking)), "utf-8")
    source = ["--no-index", "--find-links", str(wheels)] if wheels.is_dir() else []
    command = [
        *(*pip, "--python", str(python), "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--only-binary", ":all:", "--timeout", "15", "--retries", "1", "--constraint", str(constraints)),
        *(*source, *lacking),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return {"reason": "pip took too long", **_platform()}
    if done.returncode != 0:
        return {"reason": "pip failed", "said": done.stderr[-1500:], **_platform()}
    return {"python": str(python), "installed": lacking}


def missing(requirements: list[str]) -> list[str]:
    """What is not installed for this Python, or not in a version that fits."""
    return [one for one in requirements if not _is_there(one)]


def _is_there(requirement: str) -> bool:
    """Whether the requirement is installed, in a version that fits."""
    name, bounds = _parsed(requirement)
    try:
        version = _numbers(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False
    return all(_COMPARISONS[sign](version, _numbers(bound)) for sign, bound in bounds)


_COMPARISONS = {
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
}


def _parsed(requirement: str) -> tuple[str, list[tuple[str, str]]]:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return name[0], re.findall(r"(>=|==|<)\s*([0-9][0-9.]*)", requirement)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.split("+")[0])[:4])


def _constraints(lacking: list[str]) -> list[str]:
    """All that is installed stays as it is, but for what must have another version."""
    wanted = {_parsed(one)[0].lower().replace("_", "-") for one in lacking}
    installed = {
        one.metadata["Name"]: one.version for one in importlib.metadata.distributions() if one.metadata["Name"]
    }
    kept = {name: version for name, version in installed.items() if name.lower().replace("_", "-") not in wanted}
    return [f"{name}=={version}" for name, version in sorted(kept.items()) if "+" not in version and "/" not in version]


def _pip(wheels: Path) -> list[str] | None:
    """How to call pip: this Python's, or a wheel of it that was sent."""
    if importlib.util.find_spec("pip") is not None and _numbers(importlib.metadata.version("pip")) >= (22, 3):
        return [sys.executable, "-m", "pip"]
    sent = sorted(wheels.glob("pip-*.whl"))
    return [sys.executable, f"{sent[-1]}/pip"] if sent else None


def _platform() -> dict[str, Any]:
    """What wheels for this machine must be made for."""
    return {
        "version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "platform": sysconfig.get_platform().replace("-", "_").replace(".", "_"),
        "libc": os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else None,
    }


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()  # the Python that is told is called from other folders, too
    told = json.dumps(main(place, sys.argv[2:]))
    draft = place / "environment.json.new"
    draft.write_text(told + "\n", "utf-8")
    if "python" in json.loads(told):
        draft.replace(place / "environment.json")
    print(told)
