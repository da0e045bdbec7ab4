"""Inputs that are pictures of whole utterances."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ser_ray.errors import UsageError
from ser_ray.models.networks.network import Padded, Shape

GREY, COLOUR = (), (3,)  # axes of a picture behind rows and columns


def check_pictures(shapes: Sequence[Shape], count: int, colours: tuple[int, ...], least: int = 1) -> None:
    """Refuse inputs that are not so many pictures.

    Args:
        shapes: of the inputs; a picture is [rows, columns], or one frame [1, rows, columns], and `colours`
            behind.
        count: number of inputs.
        colours: `GREY` or `COLOUR`.
        least: rows and columns that a picture needs.

    Raises:
        UsageError: there are fewer inputs or more, one has other axes, or too few rows or columns.
    """
    name = "colour_image" if colours else "image"
    sides = [shape[: len(shape) - len(colours)] for shape in shapes]
    right = [
        len(side) in (2, 3) and shape[len(side) :] == colours
        for shape, side in zip(shapes, sides, strict=True)
    ]
    if len(shapes) != count or not all(right):
        raise UsageError(
            f"This network reads {count} x {name}, not inputs of {[list(shape) for shape in shapes]}. "
            f"Give it {count} such {'features' if count > 1 else 'feature'}."
        )
    if any(size is not None and size < least for side in sides for size in side[-2:]):
        raise UsageError(
            f"This network needs pictures of {least} x {least} or more, not {[list(s) for s in shapes]}. "
            "Make them larger."
        )


def pictures(padded: Padded, colours: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """[batch, rows, columns, ...] and the rows of each picture, on the CPU; a lone frame counts as a picture.

    Args:
        padded: [batch, rows, columns, ...] or [batch, 1, rows, columns, ...].
        colours: `GREY` or `COLOUR`.
    """
    values, lengths = padded.values, padded.lengths.cpu()
    if values.ndim - len(colours) == 4:
        values = values[:, 0]
        lengths = lengths.new_full((len(values),), values.shape[1])
    return values, lengths
