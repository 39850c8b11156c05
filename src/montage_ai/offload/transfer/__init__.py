"""Moves files to and from another machine over any transport: in parts, verified, resumed, several parts in flight."""

from montage_ai.offload.transfer.fetching import fetch
from montage_ai.offload.transfer.parts import PART, OnBytes, Parcel
from montage_ai.offload.transfer.sending import BLOBS, send

__all__ = ["BLOBS", "PART", "OnBytes", "Parcel", "fetch", "send"]
