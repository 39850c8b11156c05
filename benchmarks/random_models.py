"""Models of every family with random weights, saved as those of the hub are: small, and loaded by the same code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FAMILIES = ("clip", "siglip", "siglip2")

_COMMON = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_SIDE, _PATCH = 32, 8


def save_random(family: str, folder: Path, seed: int = 1) -> None:
    """Save a model of ``family``, one of ``FAMILIES`` or "blip", into ``folder``."""
    import torch
    import transformers as hf

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    words = _COMMON | {"vocab_size": len(tokenizer), "max_position_embeddings": 16}
    words |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sight: dict[str, Any] = _COMMON | {"image_size": _SIDE, "patch_size": _PATCH}
    square = {"height": _SIDE, "width": _SIDE}
    model: Any
    processor: Any
    if family == "clip":
        model = hf.CLIPModel(hf.CLIPConfig(text_config=words, vision_config=sight, projection_dim=24))
        processor = hf.CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=square)
    elif family == "siglip":
        model = hf.SiglipModel(hf.SiglipConfig(text_config=words, vision_config=sight))
        processor = hf.SiglipImageProcessor(size=square)
    elif family == "blip":
        large = {"initializer_range": 0.5}  # else all pictures are the same to it
        decoder = {"encoder_hidden_size": _COMMON["hidden_size"], "sep_token_id": 2, "max_position_embeddings": 48}
        config = hf.BlipConfig(text_config=words | decoder | large, vision_config=sight | large, projection_dim=24)
        model = hf.BlipForConditionalGeneration(config)
        processor = hf.BlipImageProcessor(size=square)
    else:
        patches = (_SIDE // _PATCH) ** 2
        sight = _COMMON | {"patch_size": _PATCH, "num_patches": patches}
        model = hf.Siglip2Model(hf.Siglip2Config(text_config=words, vision_config=sight))
        processor = hf.Siglip2ImageProcessor(patch_size=_PATCH, max_num_patches=patches)
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = ["[pad]", "[bos]", "[eos]", "[unknown]", "a", "dog", "two", "dogs", "on", "beach", "red", "circle"]
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[unknown]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("[bos]", 1), ("[eos]", 2)]
    words.post_processor = processors.TemplateProcessing(single="[bos] $A [eos]", special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[pad]", bos_token="[bos]", eos_token="[eos]", unk_token="[unknown]"
    )
