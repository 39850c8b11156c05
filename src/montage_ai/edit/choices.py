"""The words that a brief may use. Nothing is imported here, so that the command line can name them at no cost."""

from __future__ import annotations

from typing import Literal

Aspect = Literal["16:9", "9:16", "1:1", "4:5", "source"]
Quality = Literal["preview", "standard", "high", "master"]
Density = Literal["bar", "beat", "half", "auto"]
Sound = Literal["music", "mix", "duck"]
Stabilization = Literal["auto", "always", "never"]
TransitionKind = Literal["dissolve", "fade_black", "fade_white", "wipe_left", "slide_left", "zoom", "whip"]
