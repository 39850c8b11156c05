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

from montage_ai.footage.search.seen import NEUTRAL
from montage_ai.media.ffmpeg import run_ffmpeg

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
_FPS = 10
_SAYS_NOTHING = 0.03  # how well what fits every picture is to fit, against what fits few
_OTHERS = sorted({word for text in NEUTRAL for word in text.split()} - {"a"})
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


def train(folder: Path, steps: int = 450, seed: int = 3) -> None:
    """Train one and save it into ``folder`` as models of the hub are saved."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.set_num_threads(1)  # it is too small for more, which would only be in the way of others
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
        vision_config=common | {"image_size": _SIDE, "patch_size": 8},
        projection_dim=64,
    )
    model = CLIPModel(config)
    processor = CLIPImageProcessor(
        size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}, resample=3
    )
    seen = [one for one in COMBINATIONS if one not in HELD_OUT]
    # Colours and shapes by themselves, too: what a combination means follows from its parts.
    said = [*seen, *((colour, "shape") for colour in COLOURS), *((shape,) for shape in SHAPES)]
    captions = [*(described(*one) for one in said), *NEUTRAL]
    texts = tokenizer(captions, padding="max_length", max_length=8, return_tensors="pt")
    fits = torch.tensor([[set(words) - {"shape"} <= set(one) for words in said] for one in seen], dtype=torch.float32)
    fits = torch.cat([fits, torch.full((len(seen), len(NEUTRAL)), _SAYS_NOTHING)], dim=1)
    by_picture, by_text = fits / fits.sum(1, keepdim=True), fits.T / fits.T.sum(1, keepdim=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.1)
    mean, deviation = (np.array(each, np.float32) for each in (processor.image_mean, processor.image_std))
    swa = torch.optim.swa_utils
    averaged = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.99))
    cross_entropy = torch.nn.functional.cross_entropy
    for _ in range(steps):
        pictures = np.stack([_example(rng, *one) for one in seen])
        pixels = torch.from_numpy(((pictures / 255 - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32))
        products = model(pixel_values=pixels, **texts).logits_per_image
        loss = cross_entropy(products, by_picture) + cross_entropy(products.T, by_text)
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

    known: Sequence[str] = ["[pad]", "[bos]", "[eos]", "[unknown]", "a", "shape", *COLOURS, *SHAPES, *_OTHERS]
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


def write_clips(folder: Path, seconds: float = 2.0, seed: int = 7) -> list[tuple[Path, str]]:
    """A clip of each combination that is held out, with what it shows; its name says nothing of it."""
    rng = np.random.default_rng(seed)
    made = []
    for number, (colour, shape) in enumerate(HELD_OUT):
        path = folder / f"clip {number:02}.mp4"
        at, size = (228 + rng.uniform(-20, 20), 128 + rng.uniform(-15, 15)), rng.uniform(60, 85)
        write_clip(path, colour, shape, at, size, seconds)
        made.append((path, described(colour, shape)))
    return made


def write_clip(
    path: Path, colour: str, shape: str, at: tuple[float, float] = (228, 128), size: float = 70, seconds: float = 2.0
) -> None:
    """A clip of a shape that drifts slowly."""
    frames = []
    for number in range(round(_FPS * seconds)):
        picture = np.full((256, 456, 3), 128, np.uint8)
        draw(picture, colour, shape, (at[0] + number, at[1]), size)
        frames.append(picture.tobytes())
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", "456x256", "-framerate", str(_FPS), "-i", "pipe:0"]
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", f"file:{path}"]
    run_ffmpeg(["-loglevel", "error", *source, *coding], feed=frames)
