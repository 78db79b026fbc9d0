"""Images: what becomes pixels, and what is said of those that do not fit the base. No torchvision anywhere."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BaseImageProcessor
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from hf_mtl.data.images import pixel_values
from hf_mtl.errors import ConfigError, DataError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def processor(folder: Path, means: int) -> BaseImageProcessor:
    size = {"height": 8, "width": 8}
    made = ViTImageProcessorPil(size=size, image_mean=[0.5] * means, image_std=[0.5] * means)
    made.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "vit"}')
    processor: BaseImageProcessor = AutoImageProcessor.from_pretrained(folder)
    return processor


@pytest.fixture
def grey(tmp_path: Path) -> BaseImageProcessor:
    return processor(tmp_path, 1)


@pytest.fixture
def colour(tmp_path: Path) -> BaseImageProcessor:
    return processor(tmp_path, 3)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        Image.fromarray(GREY),
        GREY,
        GREY.tolist(),
        GREY[None],
        GREY[:, :, None],
        GREY.astype(np.int64),
        {"bytes": png(Image.fromarray(GREY)), "path": None},
    ],
    ids=["PIL", "array", "lists", "channel first", "channel last", "int64", "bytes"],
)
def test_every_form_gives_the_same_pixels(value: object, grey: BaseImageProcessor) -> None:
    found = pixel_values(value, grey)
    assert found.dtype == torch.float32
    expected = torch.from_numpy(GREY.astype(np.float32))[None] / 255 * 2 - 1
    torch.testing.assert_close(found, expected)


def test_a_path_is_read(tmp_path: Path, grey: BaseImageProcessor) -> None:
    Image.fromarray(GREY).save(tmp_path / "digit.png")
    found = pixel_values({"bytes": None, "path": str(tmp_path / "digit.png")}, grey)
    assert torch.equal(found, pixel_values(GREY, grey))


def test_colours_and_another_size(colour: BaseImageProcessor) -> None:
    image = Image.new("RGB", (30, 20), (255, 0, 51))
    found = pixel_values(image, colour)
    assert found.shape == (3, 8, 8)
    torch.testing.assert_close(found.mean((1, 2)), torch.tensor([1.0, -1.0, -0.6]))
    assert torch.equal(found, pixel_values(np.asarray(image).transpose(2, 0, 1), colour))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "I;16", "LA"])
def test_another_mode_than_three_channels(mode: str, colour: BaseImageProcessor) -> None:
    image = Image.new(mode, (5, 4))
    with pytest.raises(DataError) as caught:
        pixel_values(image, colour)
    assert str(caught.value) == (
        f"the image has the mode {mode!r} ({len(image.getbands())} channels, 5 x 4 pixels); expected 'RGB' "
        f'(3 channels), which is what the base reads. Convert it: image.convert("RGB").'
    )


def test_colours_where_grey_is_read(grey: BaseImageProcessor) -> None:
    with pytest.raises(DataError, match=r"mode 'RGB'.*expected 'L'.*image\.convert\(\"L\"\)"):
        pixel_values(Image.new("RGB", (5, 4)), grey)


def test_the_channels_of_the_base_rule_where_the_processor_has_no_means(grey: BaseImageProcessor) -> None:
    vars(grey)["do_normalize"] = False
    assert pixel_values(Image.new("RGB", (5, 4)), grey).shape == (3, 8, 8)
    with pytest.raises(DataError, match="expected 'L'"):
        pixel_values(Image.new("RGB", (5, 4)), grey, channels=1)
    with pytest.raises(ConfigError, match="reads images of 7 channels; '1', '3', '4' are supported"):
        pixel_values(Image.new("RGB", (5, 4)), grey, channels=7)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("digit.png", r"found the text 'digit.png'\. A column of paths becomes images by rows.cast_column"),
        ({"text": "a"}, "found the keys 'text'"),
        ({"bytes": b"GIF?", "path": None}, "in these bytes cannot be decoded"),
        (
            {"bytes": None, "path": "nowhere.png"},
            r"the image 'nowhere.png' is not there \(No such file or directory\)\. Put",
        ),
        ({"bytes": None, "path": "."}, r"the image '\.' is a folder"),
        ({"bytes": None, "path": "/dev/null"}, "the image '/dev/null' is not an ordinary file"),
        ({"bytes": None, "path": "https://example.org/a.png"}, "is an address, .* Download it first"),
        ({"bytes": None, "path": "zip://a.png::https://example.org/a.zip"}, "is an address"),
        ({"bytes": None, "path": "x" * 5_000}, "is not there"),
        ([[1, 2], [3]], "differ in length"),
        (np.zeros((2, 8, 9)), r"found \[2, 8, 9\]"),
        (np.ones((4, 4)) / 2, "found float64 from 0.5 to 0.5. Values from 0 to 1 are scaled by"),
        (np.full((4, 4), 256), "found int64 from 256 to 256"),
        (np.zeros((0, 4), np.uint8), "found no pixels"),
    ],
)
def test_what_is_no_image(value: object, message: str, grey: BaseImageProcessor) -> None:
    with pytest.raises(DataError, match=message):
        pixel_values(value, grey)


def test_without_pillow_the_extra_is_named(grey: BaseImageProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"pip install 'hf-mtl\[vision\]'"):
        pixel_values(GREY, grey)
