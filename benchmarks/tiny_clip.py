"""A CLIP so small that it is trained in half a minute: it knows coloured shapes, and nothing must be fetched.

Some combinations of a colour and a shape are held out: it has never seen them, and must find them all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 50),
    "blue": (40, 70, 225),
    "yellow": (235, 220, 40),
    "purple": (150, 50, 190),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "orange": (245, 140, 25),
    "pink": (245, 150, 200),
    "cyan": (40, 210, 220),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring", "bar", "column", "stripes")
_SIDE = 32
_RATE = 2e-3
EVERY = 3
COMBINATIONS = list(product(COLOURS, SHAPES))
HELD_OUT = [(colour, SHAPES[(number + step) % len(SHAPES)]) for number, colour in enumerate(COLOURS) for step in (1, 4)]
"""Of every colour and every shape some: what it has never seen follows from what it has."""


def described(*words: str) -> str:
    return " ".join(["a", *words])


def draw(picture: Picture, colour: str, shape: str, centre: tuple[float, float], size: float) -> None:
    """Draw a shape (RGB) around ``centre`` (x, y) in pixels, ``size`` pixels from there to its edge."""
    x, y, r = round(centre[0]), round(centre[1]), max(round(size), 2)
    paint = COLOURS[colour]
    if shape == "circle":
        cv2.circle(picture, (x, y), r, paint, -1, cv2.LINE_AA)
    elif shape == "square":
        cv2.rectangle(picture, (x - r, y - r), (x + r, y + r), paint, -1)
    elif shape == "triangle":
        cv2.fillPoly(picture, [np.array([(x, y - r), (x - r, y + r), (x + r, y + r)])], paint, cv2.LINE_AA)
    elif shape == "cross":
        wide = max(r // 3, 1)
        cv2.rectangle(picture, (x - r, y - wide), (x + r, y + wide), paint, -1)
        cv2.rectangle(picture, (x - wide, y - r), (x + wide, y + r), paint, -1)
    elif shape == "ring":
        cv2.circle(picture, (x, y), round(0.8 * r), paint, max(round(0.4 * r), 1), cv2.LINE_AA)
    elif shape == "stripes":
        for at in (-r, -r // 6, 2 * r // 3):
            cv2.rectangle(picture, (x - r, y + at), (x + r, y + at + r // 3), paint, -1)
    else:
        wide, high = (r, r // 3) if shape == "bar" else (r // 3, r)
        cv2.rectangle(picture, (x - wide, y - high), (x + wide, y + high), paint, -1)


def train(folder: Path, steps: int = 800, seed: int = 1) -> None:
    """Train one and save it into ``folder`` as models of the hub are saved."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tokenizer = _tokenizer()
    common: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 8}
    marks = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(
        text_config=common | words | marks,
        vision_config=common | {"image_size": _SIDE, "patch_size": 4},
        projection_dim=64,
    )
    model = CLIPModel(config)
    processor = CLIPImageProcessor(
        size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}, resample=3
    )
    seen = [one for one in COMBINATIONS if one not in HELD_OUT]
    rounds = [
        [(described(*one), [one]) for one in seen],
        [(described(colour, "shape"), [one for one in seen if one[0] == colour]) for colour in COLOURS],
        [(described(shape), [one for one in seen if one[1] == shape]) for shape in SHAPES],
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
    mean, deviation = (np.array(each, np.float32) for each in (processor.image_mean, processor.image_std))
    swa = torch.optim.swa_utils
    averaged = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.99))
    for step in range(steps):
        # Colours and shapes by themselves, too: what a combination means follows from its parts.
        chosen = rounds[0] if step % EVERY else rounds[1 + step // EVERY % 2] * 3
        pictures = np.stack([_example(rng, *examples[rng.integers(len(examples))]) for _, examples in chosen])
        texts = tokenizer([text for text, _ in chosen], padding="max_length", max_length=8, return_tensors="pt")
        pixels = torch.from_numpy(((pictures / 255 - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32))
        products = model(pixel_values=pixels, **texts).logits_per_image
        same = torch.tensor([[a == b for a, _ in chosen] for b, _ in chosen], dtype=torch.float32)
        wanted = same / same.sum(1, keepdim=True)
        loss = sum(torch.nn.functional.cross_entropy(one, wanted) for one in (products, products.T))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        averaged.update_parameters(model)
    averaged.module.save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _example(rng: np.random.Generator, colour: str, shape: str) -> Picture:
    """A drawn picture at twice the model's size, made small: as its processor would."""
    side = 2 * _SIDE
    picture = np.full((side, side, 3), 0, np.uint8)
    picture[:] = rng.integers(90, 165) + rng.integers(-12, 13, 3)
    centre = side * (0.5 + rng.uniform(-0.15, 0.15, 2))
    draw(picture, colour, shape, (centre[0], centre[1]), side * rng.uniform(0.2, 0.36))
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small + rng.normal(0, 3, small.shape), 0, 255), np.uint8)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known: Sequence[str] = ["[pad]", "[bos]", "[eos]", "[unknown]", "a", "shape", *COLOURS, *SHAPES]
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[unknown]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[bos] $A [eos]", special_tokens=[("[bos]", 1), ("[eos]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="[bos]",
        eos_token="[eos]",
        pad_token="[pad]",
        unk_token="[unknown]",
        model_max_length=8,
    )
