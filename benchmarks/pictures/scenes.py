"""Pictures of one digit: written or printed, turned, put somewhere on some ground, lit, blurred, noisy, saved.

Everything comes from one NumPy generator, so a seed gives the same pictures on the same versions of NumPy and Pillow.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.pictures.strokes import HANDS, curve

__all__ = ["FONTS", "SCENES", "Scene", "find_font", "make_picture", "write_digit"]

_SIDE = 640  # a digit is drawn this large, then shrunk
FONTS = {
    "left": ["DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSans-Oblique.ttf", "STIXGeneral.ttf", "cmtt10.ttf"],
    "right": [
        "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif-Italic.ttf", "STIXGeneralItalic.ttf", "cmss10.ttf",
        "STIXGeneralBol.ttf", "cmr10.ttf",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What a picture is like; a pair is a range to draw from. `pen` is a share of the digit's height."""

    source: str = "pen"  # or "font"
    pen: tuple[float, float] = (0.06, 0.11)
    side: tuple[int, int] = (200, 420)
    height: tuple[float, float] = (0.5, 0.8)  # the digit's, as a share of the picture's shorter side
    ink: tuple[int, int, int] = (25, 25, 30)
    paper: tuple[int, int, int] = (250, 250, 248)
    transparent: bool = False
    texture: float = 0.0
    light: str = ""  # "", "gradient", "lamp" or "shadow"
    blur: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    suffix: str = ".png"


SCENES = {
    "plain": Scene(),
    "thin": Scene(pen=(0.015, 0.03)),
    "thick": Scene(pen=(0.15, 0.2), suffix=".webp"),
    "corner": Scene(height=(0.16, 0.25), side=(360, 600)),
    "tiny": Scene(side=(32, 48), height=(0.55, 0.85)),
    "inverted": Scene(ink=(250, 250, 250), paper=(0, 0, 0)),
    "chalk": Scene(ink=(225, 228, 220), paper=(38, 70, 56), texture=9, noise=6, suffix=".jpg"),
    "transparent": Scene(transparent=True, ink=(20, 20, 120)),
    "ghost": Scene(transparent=True, ink=(255, 255, 255), suffix=".webp"),
    "color": Scene(ink=(205, 40, 60), paper=(120, 200, 130), suffix=".webp"),
    "pencil": Scene(ink=(140, 140, 146), paper=(238, 234, 226), pen=(0.03, 0.05), texture=5, noise=4, suffix=".jpg"),
    "photo": Scene(
        ink=(35, 40, 90), paper=(225, 222, 212), texture=5, light="gradient", noise=5, blur=(0.6, 1.6),
        side=(480, 800), height=(0.3, 0.7), suffix=".jpg",
    ),
    "lamp": Scene(
        ink=(45, 40, 40), paper=(240, 222, 180), texture=4, light="lamp", noise=6, blur=(0.5, 1.5),
        side=(400, 700), height=(0.35, 0.7), suffix=".jpg",
    ),
    "shadow": Scene(
        ink=(30, 30, 40), paper=(232, 232, 232), texture=4, light="shadow", noise=4, side=(400, 700), suffix=".jpg"
    ),
    "blurred": Scene(blur=(3.0, 6.0), noise=3, suffix=".jpg"),
    "noisy": Scene(noise=32, paper=(215, 215, 215), suffix=".jpg"),
    "print": Scene(source="font"),
    "sign": Scene(source="font", ink=(250, 250, 250), paper=(170, 30, 40), suffix=".webp"),
    "newsprint": Scene(
        source="font", paper=(205, 198, 182), texture=8, noise=9, blur=(0.6, 1.4), light="gradient", suffix=".jpg"
    ),
}  # fmt: skip


def make_picture(digit: int, scene: Scene, hand: str, rng: np.random.Generator) -> bytes:
    """One picture as a file's bytes, in the scene's format."""
    mask = write_digit(digit, scene, hand, rng)
    side = int(rng.integers(*scene.side))
    width, height = (side, int(side * rng.uniform(0.75, 1))) if rng.random() < 0.5 else (int(side * 0.8), side)
    scale = rng.uniform(*scene.height) * min(width, height) / max(mask.size)
    mask = mask.resize((max(1, round(mask.width * scale)), max(1, round(mask.height * scale))), Image.Resampling.BOX)
    ink = Image.new("L", (width, height), 0)
    margin = max(2, round(0.04 * side))
    left, top = (
        int(rng.integers(margin, max(room - margin, margin + 1)))
        for room in (width - mask.width, height - mask.height)
    )  # fmt: skip
    ink.paste(mask, (left, top))
    if scene.blur[1]:
        ink = ink.filter(ImageFilter.GaussianBlur(rng.uniform(*scene.blur)))
    file = io.BytesIO()
    if scene.transparent:
        picture = Image.new("RGBA", (width, height), (*scene.ink, 0))
        picture.putalpha(ink)
    else:
        picture = Image.fromarray(_light(np.asarray(ink), scene, rng))
    options = {".jpg": {"quality": int(rng.integers(55, 90))}, ".webp": {"quality": 80, "method": 4}}
    picture.save(file, {".jpg": "jpeg"}.get(scene.suffix, scene.suffix[1:]), **options.get(scene.suffix, {}))
    return file.getvalue()


def write_digit(digit: int, scene: Scene, hand: str, rng: np.random.Generator) -> Image.Image:
    """A digit's ink, cropped to its box: an image of mode L, turned by up to 15 degrees."""
    mask = Image.new("L", (2 * _SIDE, 2 * _SIDE), 0)
    draw = ImageDraw.Draw(mask)
    if scene.source == "font":
        name = FONTS[hand][rng.integers(len(FONTS[hand]))]
        draw.text((_SIDE, _SIDE), str(digit), fill=255, font=ImageFont.truetype(find_font(name), _SIDE), anchor="mm")
    else:
        forms = HANDS[hand][digit]
        form = forms[rng.integers(len(forms))]
        radius = rng.uniform(*scene.pen) * _SIDE / 2
        stretch = np.array([rng.uniform(0.8, 1.1), 1.0]) * _SIDE / 1.4
        slant = rng.uniform(-0.05, 0.2)
        for points in form:
            moved = [(x + dx, y + dy) for (x, y), (dx, dy) in _jitter(points, rng)]
            drawn = curve(moved)
            drawn[:, 0] += slant * (0.7 - drawn[:, 1])
            drawn = drawn * stretch + _SIDE * 0.6
            # A pen is heavier here and lighter there, slowly.
            pressure = 1 + 0.15 * np.sin(np.linspace(0, rng.uniform(1, 6), len(drawn)) + rng.uniform(0, 6))
            dense = [drawn[0]]
            for (x0, y0), (x1, y1), weight in zip(drawn, drawn[1:], pressure, strict=False):
                dense.append((x1, y1))
                draw.line([(x0, y0), (x1, y1)], fill=255, width=max(1, round(2 * radius * weight)))
                size = radius * weight
                draw.ellipse([x1 - size, y1 - size, x1 + size, y1 + size], fill=255)
            x, y = drawn[0]
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    mask = mask.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
    return mask.crop(mask.getbbox())


def _jitter(points: list[tuple[float, float]], rng: np.random.Generator) -> list:  # type: ignore[type-arg]
    """Each point with a small move of its own; equal neighbours, which are corners, move together."""
    moves: list[tuple[float, float]] = []
    for index, point in enumerate(points):
        same = index and points[index - 1] == point
        moves.append(moves[-1] if same else tuple(rng.normal(0, 0.022, 2)))  # type: ignore[arg-type]
    return list(zip(points, moves, strict=True))


def _light(ink_HW: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Ink on paper under a light, through a camera: uint8 (H, W, 3)."""
    height, width = ink_HW.shape
    share_HW1 = ink_HW[:, :, None] / 255
    paper_HW3 = np.array(scene.paper, float) + scene.texture * _cloud(height, width, rng)[:, :, None]
    seen_HW3 = paper_HW3 * (1 - share_HW1) + np.array(scene.ink, float) * share_HW1
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    along_HW = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    if scene.light == "gradient":
        seen_HW3 *= np.clip(0.72 + 0.6 * along_HW, 0.25, 1)[:, :, None]
    elif scene.light == "lamp":
        cx, cy = rng.uniform(0.2, 0.8, 2)
        seen_HW3 *= np.clip(1.05 - 0.9 * ((x - cx) ** 2 + (y - cy) ** 2), 0.3, 1)[:, :, None]
    elif scene.light == "shadow":
        edge_HW = 1 / (1 + np.exp(-(along_HW + rng.uniform(-0.15, 0.15)) / 0.02))
        seen_HW3 *= (0.6 + 0.4 * edge_HW)[:, :, None]
    if scene.noise:
        seen_HW3 += rng.normal(0, scene.noise, seen_HW3.shape)
    return np.clip(seen_HW3 + 0.5, 0, 255).astype(np.uint8)


def _cloud(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Paper's unevenness, about -1 to 1: fine grain on broad clouds."""
    broad = Image.fromarray(rng.normal(0, 1, (9, 9)).astype(np.float32)).resize((width, height), 3)
    fine = Image.fromarray(rng.normal(0, 1, (height // 3 + 1, width // 3 + 1)).astype(np.float32))
    return 0.6 * np.asarray(broad) + 0.4 * np.asarray(fine.resize((width, height), 2))


def find_font(name: str) -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name)
