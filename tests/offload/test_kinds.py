"""What the configuration says of an executor beyond how it is reached."""

from __future__ import annotations

import pytest

from montage_ai.offload.kinds import INTERNET, CgpuSettings, JupyterSettings, LocalSettings, PlaceSettings, SshSettings
from montage_ai.offload.kinds import RaySettings as Ray


@pytest.mark.parametrize(
    ("settings", "connection"),
    [
        (SshSettings(kind="ssh", host="gpu.example.org"), INTERNET),
        (SshSettings(kind="ssh", host="gpu"), INTERNET),  # an alias, of which nothing is known
        (SshSettings(kind="ssh", host="192.168.1.7"), ""),
        (SshSettings(kind="ssh", host="nas.local"), ""),
        (SshSettings(kind="ssh", host="192.168.1.7", link="wifi"), "wifi"),
        (JupyterSettings(kind="jupyter", url="https://hub.example.org/user/me/"), INTERNET),
        (JupyterSettings(kind="jupyter", url="http://localhost:8888/"), ""),
        (JupyterSettings(kind="jupyter", url="http://[::1]:8888/"), ""),
        (CgpuSettings(kind="cgpu"), INTERNET),
        (LocalSettings(kind="local", work_dir="/tmp/there"), ""),
        (Ray(kind="ray", address="local"), ""),
        (Ray(kind="ray", address="ray://10.0.0.5:10001"), ""),
        (Ray(kind="ray", address="ray://head.example.org:10001"), INTERNET),
    ],
)
def test_machines_in_the_internet_share_a_connection_and_near_ones_have_their_own(
    settings: PlaceSettings, connection: str
) -> None:
    assert settings.connection == connection
