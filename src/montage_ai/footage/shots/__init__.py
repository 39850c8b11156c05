"""Where one shot of a clip ends and the next begins: hard cuts, dissolves and fades."""

from montage_ai.footage.shots.boundary import Boundary, Shot, shots, with_cuts
from montage_ai.footage.shots.detector import ShotDetector

__all__ = ["Boundary", "Shot", "ShotDetector", "shots", "with_cuts"]
