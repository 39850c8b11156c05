"""Comments in an SSH configuration go, and nothing else does."""

from __future__ import annotations

import pytest

from montage_ai.offload.transports.ssh_config import without_comments


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("Host studio # the one below", "Host studio"),
        ("  HostName box#1.example.org", "  HostName box#1.example.org"),
        ('  IdentityFile "~/my # key"\t# mine', '  IdentityFile "~/my # key"'),
        ('SetEnv A="x # y" # why', 'SetEnv A="x # y"'),
        ('IdentityFile ~/.ssh/"key #1"', 'IdentityFile ~/.ssh/"key #1"'),
        ("# b\x85 Port x", ""),
        ("Port 22 # b\u2028 Port x", "Port 22"),
        ("# all of it", ""),
        ('ProxyCommand sh -c "a # b" # c', 'ProxyCommand sh -c "a # b" # c'),
        ("ProxyCommand=nc %h %p # c", "ProxyCommand=nc %h %p # c"),
    ],
)
def test_a_comment_behind_a_setting_is_left_out(line: str, left: str) -> None:
    assert without_comments(f"{line}\nHost a") == f"{left}\nHost a"
