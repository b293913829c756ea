"""Augmentation of a whole batch at once: the geometric steps become one resampling, the others one operation each.

Shapes: B images, C channels, H × W pixels. Pixels are floats, 0 for the ground and 1 for ink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["augment"]


def augment(images_BCHW: Tensor, steps: Iterable[Any], generator: Generator) -> Tensor:
    """Apply a recipe's augmentation steps to a batch of float images in 0…1, every image with draws of its own.

    >>> import torch, tinydigits.recipe
    >>> steps = tinydigits.recipe.load("four-conv").augment
    >>> augment(torch.rand(8, 1, 28, 28), steps, torch.Generator().manual_seed(0)).shape
    torch.Size([8, 1, 28, 28])

    `steps` are the typed steps of `Recipe.augment`, in their order; each acts on an image with its probability `p`.
    Successive geometric steps are multiplied into one 3×3 matrix per image, and elastic ones added into one field of
    displacements, so that the picture is resampled once (bilinear, black outside) and not blurred by every step. All
    randomness comes from `generator`.
    """
    device, steps = images_BCHW.device, tuple(steps)
    projective = any(step.name == "perspective" for step in steps)
    matrices_B33: Tensor | None = None
    field_BHWX: Tensor | None = None
    for step in steps:
        draw = _Draw(len(images_BCHW), generator, device)
        geometric = _GEOMETRIC.get(step.name)
        if geometric is not None:
            step_B33 = draw.apply_with(step.p, geometric(step, draw), torch.eye(3, device=device))
            matrices_B33 = step_B33 if matrices_B33 is None else matrices_B33 @ step_B33
        elif step.name == "elastic":
            moved_BHWX = _elastic(images_BCHW, step, draw)
            step_BHWX = draw.apply_with(step.p, moved_BHWX, torch.zeros_like(moved_BHWX))
            field_BHWX = step_BHWX if field_BHWX is None else field_BHWX + step_BHWX
        else:
            images_BCHW = _resample(images_BCHW, matrices_B33, field_BHWX, projective)
            matrices_B33 = field_BHWX = None
            images_BCHW = draw.apply_with(step.p, _PIXELWISE[step.name](images_BCHW, step, draw), images_BCHW)
    return _resample(images_BCHW, matrices_B33, field_BHWX, projective)


class _Draw:
    """Random numbers, one per image of the batch."""

    def __init__(self, num_images: int, generator: Generator, device: torch.device) -> None:
        self.num_images, self.generator, self.device = num_images, generator, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand((self.num_images, *shape), generator=self.generator, device=self.device)
        return values * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn((self.num_images, *shape), generator=self.generator, device=self.device)

    def apply_with(self, probability: float, changed: Tensor, unchanged: Tensor) -> Tensor:
        """Per image, `changed` with the probability, else `unchanged`."""
        if probability == 1:
            return changed
        chosen_B = self.uniform(0, 1) < probability
        return torch.where(chosen_B.view(-1, *[1] * (changed.ndim - 1)), changed, unchanged)


# Geometric steps give, per image, the matrix from output to input coordinates; both axes run from -1 to 1.


def _rotation(step: Any, draw: _Draw) -> Tensor:
    return _affine_matrix(draw, degrees=step.degrees)


def _affine(step: Any, draw: _Draw) -> Tensor:
    return _affine_matrix(draw, step.degrees, step.shift_pixels, step.scale, step.shear_degrees)


def _zoom_out(step: Any, draw: _Draw) -> Tensor:
    return _affine_matrix(draw, scale=(step.scale, step.scale))


def _affine_matrix(
    draw: _Draw,
    degrees: float = 0.0,
    shift_pixels: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear_degrees: float = 0.0,
) -> Tensor:
    """output → input: shift back, then turn, shear and shrink by the inverse of the drawn amounts."""
    angle_B = torch.deg2rad(draw.uniform(-degrees, degrees))
    shear_B = torch.tan(torch.deg2rad(draw.uniform(-shear_degrees, shear_degrees)))
    inverse_scale_B = 1 / draw.uniform(*scale)
    shift_B2 = draw.uniform(-shift_pixels, shift_pixels, 2) * (2 / 28)
    cos_B, sin_B = torch.cos(angle_B) * inverse_scale_B, torch.sin(angle_B) * inverse_scale_B
    rows = [cos_B, cos_B * shear_B - sin_B, sin_B, sin_B * shear_B + cos_B]
    linear_B22 = torch.stack(rows, dim=1).view(-1, 2, 2)
    matrix_B33 = torch.eye(3, device=draw.device).repeat(draw.num_images, 1, 1)
    matrix_B33[:, :2, :2] = linear_B22
    matrix_B33[:, :2, 2] = -(linear_B22 @ shift_B2[:, :, None])[:, :, 0]
    return matrix_B33


def _perspective(step: Any, draw: _Draw) -> Tensor:
    """The homography that takes the square's corners to corners moved inwards, solved for every image at once."""
    corners_42 = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], device=draw.device)
    moved_B42 = corners_42 * (1 - draw.uniform(0, step.distortion, 4, 2))
    # Each pair (moved → corner) gives two linear equations in the eight unknown entries.
    x_B4, y_B4 = moved_B42.unbind(2)
    u_B4, v_B4 = corners_42.expand_as(moved_B42).unbind(2)
    zero, one = torch.zeros_like(x_B4), torch.ones_like(x_B4)
    rows_x = torch.stack([x_B4, y_B4, one, zero, zero, zero, -u_B4 * x_B4, -u_B4 * y_B4], dim=2)
    rows_y = torch.stack([zero, zero, zero, x_B4, y_B4, one, -v_B4 * x_B4, -v_B4 * y_B4], dim=2)
    solution_B8 = torch.linalg.solve(torch.cat([rows_x, rows_y], dim=1), torch.cat([u_B4, v_B4], dim=1))
    return torch.cat([solution_B8, torch.ones_like(solution_B8[:, :1])], dim=1).view(-1, 3, 3)


_GEOMETRIC: dict[str, Callable[[Any, _Draw], Tensor]] = {
    "rotation": _rotation,
    "affine": _affine,
    "zoom-out": _zoom_out,
    "perspective": _perspective,
}


def _elastic(images_BCHW: Tensor, step: Any, draw: _Draw) -> Tensor:
    """How far each pixel is fetched from, (B, H, W, 2) in units of half the picture; x before y, as grid_sample has it.

    Simard, Steinkraus and Platt (2003) smooth a random displacement of every pixel; drawing it at a few points and
    interpolating between them gives as smooth a field for a fraction of the work.
    """
    height, width = images_BCHW.shape[2:]
    coarse_BXPP = draw.normal(2, step.points, step.points) * (step.pixels * 2 / 28)
    # Bicubic interpolation is one matrix along each axis.
    basis_1PP1 = torch.eye(step.points, device=draw.device)[None, :, :, None]
    rows_PH, columns_PW = (
        F.interpolate(basis_1PP1, size=(size, 1), mode="bicubic", align_corners=True)[0, :, :, 0]
        for size in (height, width)
    )
    return (rows_PH.T @ coarse_BXPP @ columns_PW).permute(0, 2, 3, 1)


def _resample(images_BCHW: Tensor, matrix_B33: Tensor | None, field_BHWX: Tensor | None, projective: bool) -> Tensor:
    """Bilinear, black outside. Only a projective matrix has a third row that is not (0, 0, 1), to be divided by."""
    if matrix_B33 is None and field_BHWX is None:
        return images_BCHW
    height, width = images_BCHW.shape[2:]
    # Pixel centres, as grid_sample counts them with align_corners=False.
    ys = (torch.arange(height, device=images_BCHW.device) * 2 + 1) / height - 1
    xs = (torch.arange(width, device=images_BCHW.device) * 2 + 1) / width - 1
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    points_3P = torch.stack([grid_x, grid_y, torch.ones_like(grid_x)]).view(3, -1)
    if matrix_B33 is None:
        matrix_B33 = torch.eye(3, device=images_BCHW.device).expand(len(images_BCHW), 3, 3)
    rows = 3 if projective else 2
    mapped_BXP = (matrix_B33[:, :rows].reshape(-1, 3) @ points_3P).view(-1, rows, height * width)
    if projective:
        mapped_BXP = mapped_BXP[:, :2] / mapped_BXP[:, 2:]
    grid_BHWX = mapped_BXP.view(-1, 2, height, width).permute(0, 2, 3, 1)
    grid_BHWX = grid_BHWX if field_BHWX is None else grid_BHWX + field_BHWX
    return F.grid_sample(images_BCHW, grid_BHWX, align_corners=False)


def _erasing(images_BCHW: Tensor, step: Any, draw: _Draw) -> Tensor:
    height, width = images_BCHW.shape[2:]
    area_B = draw.uniform(*step.area) * height * width
    log_low, log_high = math.log(step.aspect[0]), math.log(step.aspect[1])
    aspect_B = torch.exp(draw.uniform(log_low, log_high))
    box_height_B = (area_B * aspect_B).sqrt().clamp(max=height)
    box_width_B = (area_B / aspect_B).sqrt().clamp(max=width)
    inside_rows = _between(draw.uniform(0, 1) * (height - box_height_B), box_height_B, height)
    inside_columns = _between(draw.uniform(0, 1) * (width - box_width_B), box_width_B, width)
    inside_B1HW = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    return images_BCHW.masked_fill(inside_B1HW, 0.0)


def _between(start_B: Tensor, length_B: Tensor, size: int) -> Tensor:
    positions = torch.arange(size, device=start_B.device) + 0.5
    return (positions >= start_B[:, None]) & (positions < (start_B + length_B)[:, None])


def _blur(images_BCHW: Tensor, step: Any, draw: _Draw) -> Tensor:
    """Two passes of a per-image kernel; the batch rides in the channels of one grouped convolution."""
    sigma_B = draw.uniform(*step.sigma_pixels)
    radius = max(1, math.ceil(2 * step.sigma_pixels[1]))
    offsets = torch.arange(-radius, radius + 1, device=draw.device)
    kernel_BK = torch.softmax(-(offsets**2) / (2 * sigma_B[:, None] ** 2), dim=1)
    num_images, num_channels, height, width = images_BCHW.shape
    kernel_BK = kernel_BK.repeat_interleave(num_channels, dim=0)
    flat = images_BCHW.reshape(1, -1, height, width)
    flat = F.conv2d(flat, kernel_BK[:, None, :, None], padding=(radius, 0), groups=flat.shape[1])
    flat = F.conv2d(flat, kernel_BK[:, None, None, :], padding=(0, radius), groups=flat.shape[1])
    return flat.view(num_images, num_channels, height, width)


def _inversion(images_BCHW: Tensor, step: Any, draw: _Draw) -> Tensor:
    return 1 - images_BCHW


def _contrast(images_BCHW: Tensor, step: Any, draw: _Draw) -> Tensor:
    return 0.5 + (images_BCHW - 0.5) * draw.uniform(*step.factor, 1, 1, 1)


def _noise(images_BCHW: Tensor, step: Any, draw: _Draw) -> Tensor:
    return (images_BCHW + step.std * draw.normal(*images_BCHW.shape[1:])).clamp(0, 1)


_PIXELWISE: dict[str, Callable[[Tensor, Any, _Draw], Tensor]] = {
    "erasing": _erasing,
    "blur": _blur,
    "contrast": _contrast,
    "inversion": _inversion,
    "noise": _noise,
}
