"""Models that know pictures and words: CLIP (A. Radford et al., ICML 2021), SigLIP (X. Zhai et al., ICCV 2023),
SigLIP 2 (M. Tschannen et al., arXiv 2502.14786, 2025), and what Transformers loads in their place.

A picture and a text become vectors of length 1; the larger their product, the better one describes the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import TaskError
from montage_ai.models.device import CPU, Device, first_batch, in_batches
from montage_ai.models.library import safetensors, torch, transformers

Vectors = NDArray[np.float32]
Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""

Tower = Literal["images", "texts", "both"]

_TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model", "vocab.txt")
_SEVERAL = 24  # times the width of a layer: the numbers that are kept for each patch of a picture


class ImageTextModel:
    """A model from a local folder. ``tower`` says what it is for: the other half does not stay in memory.

    Raises ``TaskError`` for what is not such a model, ``MissingExtraError``.
    """

    def __init__(self, folder: Path, device: Device = CPU, *, tower: Tower = "both") -> None:
        self.device = device
        auto = transformers()
        if tower != "images" and not any((folder / name).exists() for name in _TOKENIZERS):  # else one is made up
            hint = f"Put one of these into its folder: {', '.join(_TOKENIZERS)}."
            raise TaskError("The model cannot be loaded (it has no words).", hint=hint)
        try:
            self._model = auto.AutoModel.from_pretrained(folder, local_files_only=True, dtype=device.dtype)
            self._processor = auto.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            self._tokenizer = (
                None if tower == "images" else auto.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, safetensors().SafetensorError) as error:
            first = str(error).strip().partition("\n")[0]
            hint = "Name a folder as `save_pretrained` writes it, with the processor's files."
            raise TaskError(f"The model cannot be loaded ({first}).", hint=hint) from error
        if not hasattr(self._model, "get_image_features"):
            hint = "Take one of the families CLIP, SigLIP or SigLIP 2."
            raise TaskError(f"{type(self._model).__name__} is not a model of pictures and words.", hint=hint)
        self._leave_out(tower)
        self._model.eval().to(device.kind)

    @property
    def scale(self) -> float:
        """What products are multiplied by to become differences of log odds."""
        return float(self._model.logit_scale.detach().exp())

    def embed_images(self, pictures: Sequence[Picture]) -> Vectors:
        """A vector for each picture, shape (pictures, width)."""
        each = memory_of_picture(self._model.config.vision_config.to_dict(), self.device)
        batches = in_batches(pictures, first_batch(self.device, each), self._some_images)
        return _joined(list(batches))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """A vector for each text, shape (texts, width)."""
        return _joined(list(in_batches(texts, 64, self._some_texts)))

    def _some_images(self, pictures: Sequence[Picture]) -> Vectors:
        inputs = self._processor(images=list(pictures), input_data_format="channels_last", return_tensors="pt")
        with torch().inference_mode():
            return _unit(self._model.get_image_features(**self._placed(inputs)).pooler_output)

    def _some_texts(self, texts: Sequence[str]) -> Vectors:
        assert self._tokenizer is not None
        config = self._model.config.text_config
        is_siglip = self._model.config.model_type.startswith("siglip")
        inputs = self._tokenizer(
            [text.lower() for text in texts] if is_siglip else list(texts),
            padding="max_length",  # as they were trained
            truncation=True,
            max_length=min(config.max_position_embeddings, self._tokenizer.model_max_length),
            return_tensors="pt",
        )
        if is_siglip:  # trained to see the padding
            inputs.pop("attention_mask", None)
        with torch().inference_mode():
            return _unit(self._model.get_text_features(**self._placed(inputs)).pooler_output)

    def _placed(self, inputs: Any) -> dict[str, Any]:
        device, dtype = self.device.kind, self.device.dtype
        moved = {name: one.to(device) for name, one in inputs.items()}
        return {name: one.to(dtype) if one.is_floating_point() else one for name, one in moved.items()}

    def _leave_out(self, tower: Tower) -> None:
        """Free the half that is not used: of SigLIP 2 the words take three quarters of the memory."""
        other = {"images": "text_model", "texts": "vision_model"}.get(tower)
        if other is not None and hasattr(self._model, other):
            setattr(self._model, other, torch().nn.Identity())


def memory_of_picture(vision: Mapping[str, Any], device: Device) -> float:
    """Bytes that a picture takes on its way through a transformer that is configured so, about."""
    return float(_patches(vision) * vision["hidden_size"] * _SEVERAL * (2 if device.half else 4))


def effort(config: dict[str, Any]) -> float:
    """GFLOP that a picture takes, from what ``config.json`` says of the transformer that looks at pictures.

    Two for each weight and patch (J. Kaplan et al., "Scaling laws for neural language models", 2020). Raises
    ``TaskError``.
    """
    try:
        vision = config["vision_config"]
        width, layers = int(vision.get("hidden_size", 768)), int(vision.get("num_hidden_layers", 12))
        inner = int(vision.get("intermediate_size", 4 * width))
        patches = _patches(vision)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise TaskError(
            f"The model's config.json does not describe a model of pictures and words ({error})."
        ) from error
    return 2e-9 * layers * (4 * width**2 + 2 * width * inner) * max(patches, 1)


def _patches(vision: Mapping[str, Any]) -> int:
    """How many a picture is cut into: SigLIP 2 with flexible sizes says it, the others follow from the side."""
    side = int(vision.get("image_size", 224)) // int(vision.get("patch_size", 32))
    return int(vision.get("num_patches", 0)) or side**2


def _unit(vectors: Any) -> Vectors:
    made: Vectors = vectors.float().cpu().numpy()
    return np.asarray(made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12), np.float32)


def _joined(parts: list[Vectors]) -> Vectors:
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
