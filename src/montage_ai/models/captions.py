"""Models that describe pictures in words: BLIP (J. Li et al., ICML 2022), BLIP-2 (J. Li et al., ICML 2023), and what
Transformers loads in their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from montage_ai.errors import TaskError
from montage_ai.models.device import CPU, Device, first_batch, in_batches
from montage_ai.models.image_text import Picture, Vectors, memory_of_picture
from montage_ai.models.library import safetensors, torch, transformers

_LONGEST = 30  # tokens of a caption
_BEAMS = 3  # as BLIP's authors have it


class CaptionModel:
    """A model from a local folder. Raises ``TaskError`` for what is not such a model, ``MissingExtraError``."""

    def __init__(self, folder: Path, device: Device = CPU) -> None:
        self.device = device
        auto = transformers()
        try:
            self._model = auto.AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, dtype=device.dtype
            )
            self._processor = auto.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            self._tokenizer = auto.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, safetensors().SafetensorError) as error:
            first = str(error).strip().partition("\n")[0]
            hint = "Take one of the family BLIP, in a folder as `save_pretrained` writes it."
            raise TaskError(f"The model of captions cannot be loaded ({first}).", hint=hint) from error
        if not hasattr(self._model, "vision_model"):
            hint = "Take one of the family BLIP."
            raise TaskError(f"{type(self._model).__name__} is not a model of captions.", hint=hint)
        self._model.eval().to(device.kind)

    def captions(self, pictures: Sequence[Picture]) -> list[str]:
        """What each picture shows, in a few words."""
        each = _BEAMS * memory_of_picture(self._model.config.vision_config.to_dict(), self.device)
        return [text for some in in_batches(pictures, first_batch(self.device, each), self._some) for text in some]

    def embed_images(self, pictures: Sequence[Picture]) -> Vectors:
        """What it makes of each picture before it speaks, as vectors of length 1, shape (pictures, width)."""
        with torch().inference_mode():
            made = self._model.vision_model(pixel_values=self._pixels(pictures)).pooler_output.float().cpu().numpy()
        return np.asarray(made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12), np.float32)

    def _some(self, pictures: Sequence[Picture]) -> list[str]:
        with torch().inference_mode():
            tokens = self._model.generate(
                pixel_values=self._pixels(pictures), max_new_tokens=_LONGEST, num_beams=_BEAMS, do_sample=False
            )
        return [text.strip() for text in self._tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def _pixels(self, pictures: Sequence[Picture]) -> Any:
        inputs = self._processor(images=list(pictures), input_data_format="channels_last", return_tensors="pt")
        return inputs["pixel_values"].to(self.device.kind, self.device.dtype)
