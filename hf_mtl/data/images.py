"""One image -> the pixels that a vision base reads, checked before an image processor fails in its own words.

Needs Pillow: `pip install 'hf-mtl[vision]'`; torchvision is not needed.
"""

from __future__ import annotations

import math
import stat
import struct
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from datasets import Dataset, IterableDataset
from datasets import Image as Images
from torch import Tensor

from hf_mtl.errors import ConfigError, DataError, listing
from hf_mtl.packages import PILLOW

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor

__all__ = ["pixel_values", "with_raw_images"]

Rows = TypeVar("Rows", Dataset, IterableDataset)

_MODE_OF_CHANNELS: Final = {1: "L", 3: "RGB", 4: "RGBA"}


def pixel_values(value: object, processor: BaseImageProcessor, *, channels: int | None = None) -> Tensor:
    """Turn one image into a tensor, with the resizing and the scaling of an image processor.

    Args:
        value: A PIL image; an array or nested lists of whole numbers from 0 to 255, `[H, W]`, `[H, W, C]` or
            `[C, H, W]`; or what `datasets.Image(decode=False)` gives, `{"bytes": ..., "path": ...}`, and with it
            perhaps `"mode"`, a mode of Pillow's to convert it to.
        processor: What `AutoImageProcessor.from_pretrained` gave for the base.
        channels: How many channels the base reads (`config.num_channels`). Default: as many as the
            processor has means for; without means, whatever the image has.

    Returns:
        `[C, H, W]`, float32.

    Raises:
        DataError: If `value` is no image, cannot be decoded, or has another mode than the base reads.
        ConfigError: If Pillow is not installed.

    Example:
        >>> processor = AutoImageProcessor.from_pretrained(resolve_asset("vit-tiny"))  # doctest: +SKIP
        >>> pixel_values(row["image"], processor).shape  # doctest: +SKIP
        torch.Size([1, 28, 28])
    """
    PILLOW.require("reading images")
    image = _image(value)
    settings = processor.to_dict()
    means = settings.get("image_mean") if settings.get("do_normalize") else None
    expected = channels or (len(means) if isinstance(means, list | tuple) else None)
    # Some processors make RGB out of every mode themselves.
    if expected is not None and not settings.get("do_convert_rgb"):
        _check_mode(image, expected)
    try:
        made: Tensor = processor(image, return_tensors="pt")["pixel_values"][0]
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        raise DataError(
            f"the base's {type(processor).__name__} makes nothing of this image of {image.width} x {image.height} "
            f"pixels: {type(error).__name__}: {error}. Its settings are in the base's preprocessor_config.json: save "
            f"the processor again, or make the image a usual one.",
            reason="unsuitable image",
        ) from error
    return made


def with_raw_images(rows: Rows) -> Rows:
    """The same rows with images as bytes or paths: a corrupt one fails in `pixel_values`, and not while rows are read.

    With an image of a column of a fixed mode (`datasets.Image(mode=...)`) goes the mode, which it is converted to.
    """
    decoded = {
        name: feature
        for name, feature in (rows.features or {}).items()
        if isinstance(feature, Images) and feature.decode
    }
    for name in decoded:
        rows = rows.cast_column(name, Images(decode=False))
    if not (modes := {name: feature.mode for name, feature in decoded.items() if feature.mode is not None}):
        return rows
    add = partial(_add_modes, modes=modes)
    return rows.with_transform(add) if isinstance(rows, Dataset) else rows.map(add, batched=True)


def _add_modes(
    batch: dict[str, list[Any]], modes: Mapping[str, str]
) -> dict[str, list[Any]]:  # Any: of all columns
    for name in modes.keys() & batch:
        batch[name] = [None if raw is None else {**raw, "mode": modes[name]} for raw in batch[name]]
    return batch


def _check_mode(image: Image, channels: int) -> None:
    mode = _MODE_OF_CHANNELS.get(channels)
    if mode is None:
        raise ConfigError(
            f"the base reads images of {channels} channels; {listing(map(str, _MODE_OF_CHANNELS))} are supported."
        )
    if image.mode != mode:
        raise DataError(
            f"the image has the mode {image.mode!r} ({len(image.getbands())} channels, {image.width} x "
            f"{image.height} pixels); expected {mode!r} ({channels} channels), which is what the base reads. "
            f'Convert it: image.convert("{mode}").',
            reason="unsuitable image",
        )


def _image(value: object) -> Image:
    from PIL import Image as Pictures

    if isinstance(value, Pictures.Image):
        return _decoded_by(lambda: _loaded(value), "image")
    if isinstance(value, Mapping):
        return _decoded(value)
    if isinstance(value, np.ndarray | list | tuple):
        return Pictures.fromarray(_array(value))
    raise DataError(
        f"expected an image (PIL, an array, nested lists, or a dict with 'bytes' or 'path'), found "
        f'{_shown(value)}. A column of paths becomes images by rows.cast_column("image", datasets.Image()); in a '
        f"data file, where its paths name images in the file's folder.",
        reason="corrupt image",
    )


def _decoded(value: Mapping[str, object]) -> Image:
    """As `datasets` decodes it: turned upright as its EXIF data say, and converted to the mode that is asked for."""
    data, path, mode = value.get("bytes"), value.get("path"), value.get("mode")
    if not isinstance(data, bytes) and not isinstance(path, str):
        raise DataError(
            f"expected an image as a dict with 'bytes' or 'path', found the keys {listing(value)}.",
            reason="corrupt image",
        )
    raw = {
        "bytes": data if isinstance(data, bytes) else None,
        "path": path if isinstance(path, str) else None,
    }
    if raw["bytes"] is None:
        _check_path(str(path))
    images = Images(mode=mode if isinstance(mode, str) else None)
    return _decoded_by(lambda: images.decode_example(raw), f"image {path or 'in these bytes'}")


def _check_path(path: str) -> None:
    """Only files are opened: `datasets` would fetch an address, and a device or a pipe may have no end."""
    if path.rpartition("::")[2].startswith("hf://"):
        return  # of a data set that is streamed from the Hub
    if "://" in path or "::" in path:
        found = (
            "is an address, and images are read from this machine only. Download it first, and name the file"
        )
    else:
        try:
            mode = Path(path).stat().st_mode
        except (OSError, ValueError) as error:
            found = f"is not there ({error.args[-1]}). Put the file there, or correct its path in the row"
        else:
            if stat.S_ISREG(mode):
                return
            found = f"is {'a folder' if stat.S_ISDIR(mode) else 'not an ordinary file'}; expected the file of an image"
    raise DataError(f"the image {path!r:.300} {found}.", reason="corrupt image")


def _shown(value: object) -> str:
    return f"the text {value!r:.200}" if isinstance(value, str) else type(value).__name__


def _loaded(image: Image) -> Image:
    """An image that Pillow has opened and may not have read."""
    from PIL import Image as Pictures

    if image.width * image.height > (Pictures.MAX_IMAGE_PIXELS or math.inf):
        raise Pictures.DecompressionBombError(f"{image.width:,} x {image.height:,} pixels")
    image.load()
    return image


def _decoded_by(decode: Callable[[], Image], what: str) -> Image:
    """What a decoder gives; each format fails in its own way on bytes that are not its own."""
    from PIL import Image as Pictures
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow knows the size from the header, and warns of what it decodes all the same.
            warnings.simplefilter("error", Pictures.DecompressionBombWarning)
            return decode()
    except (Pictures.DecompressionBombError, Pictures.DecompressionBombWarning) as error:
        raise DataError(
            f"the {what} has more pixels than are decoded: {error}. Make it smaller; bases read some hundred pixels a "
            f"side.",
            reason="image with too many pixels",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        # Pillow names the object in memory where it does not know the format.
        found = "no known image format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"the {what} cannot be decoded: {found}.", reason="corrupt image") from error


def _array(value: np.ndarray | list[object] | tuple[object, ...]) -> np.ndarray:
    """Whole numbers from 0 to 255 as `[H, W]` or `[H, W, C]`, which is what Pillow takes."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"the rows of the image differ in length: {error}", reason="corrupt image") from error
    if array.ndim == 3 and array.shape[0] in _MODE_OF_CHANNELS and array.shape[2] not in _MODE_OF_CHANNELS:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _MODE_OF_CHANNELS):
        raise DataError(
            f"an image has the shape [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4 channels, found "
            f"{list(array.shape)}.",
            reason="unsuitable image",
        )
    if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 0 or array.max() > 255:
        found = f"{array.dtype} from {array.min()} to {array.max()}" if array.size else "no pixels"
        raise DataError(
            f"pixels are whole numbers from 0 to 255, found {found}. Values from 0 to 1 are scaled by "
            "(255 * pixels).round().astype('uint8').",
            reason="unsuitable image",
        )
    return np.ascontiguousarray(array.astype(np.uint8))
