"""Images that cannot be read, are too large, or are no images, and the columns that hold them."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path

from bad_inputs.case import Case, Change, all_of, changed_json, cli, removed, untouched, written

__all__ = ["CASES"]

ROWS = [{"image": f"pictures/{n}.png", "label": "ab"[n % 2]} for n in range(4)]
RECIPE = """\
model: {{id: someone/tiny-vit, source: {base}, dtype: float32}}
output_dir: runs/images
tasks:
  pictures:
    kind: image-classification
    train: pictures.jsonl
    eval: pictures.jsonl
{more}training: {{max_steps: 2, use_cpu: true}}
"""


def images(name: str, spoil: Change, *words: str, more: str = "", code: int = 2) -> Case:
    """One image, one row or the base is spoiled."""

    def change(folder: Path) -> None:
        lines = more and f"    {more}\n"
        (folder / "recipe.yaml").write_text(RECIPE.format(base="vit", more=lines))
        _rows(*ROWS)(folder)
        spoil(folder)

    return cli(name, "validate recipe.yaml", *words, spoil=change, needs=("vit", "pictures"), code=code)


def _rows(*rows: object) -> Change:
    return written("pictures.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def _second(**changes: object) -> Change:
    """Another second row."""
    return _rows(ROWS[0], {**ROWS[1], **changes}, *ROWS[2:])


def picture(name: str, content: bytes | str, *words: str) -> Case:
    """The second image is another file."""
    return images(name, written("pictures/1.png", content), "pictures", *words)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that declares a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(data))
        + _chunk(b"IEND", b"")
    )


def _of(form: str) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (12, 12), (9, 9, 9)).save(stream, form)
    return stream.getvalue()


def _cut(form: str) -> Change:
    return lambda folder: (folder / "pictures/1.png").write_bytes(_of(form)[:-30])


def _text_bomb(folder: Path) -> None:
    note = _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (200 << 20)))
    raw = _of("PNG")
    (folder / "pictures/1.png").write_bytes(raw[:33] + note + raw[33:])


def _pipe(folder: Path) -> None:
    (folder / "pictures/1.png").unlink()
    os.mkfifo(folder / "pictures/1.png")


def _processor(**changes: object) -> Change:
    return changed_json(P, changes)


P = "vit/preprocessor_config.json"
CASES = (
    picture("an empty image", b"", "1.png"),
    picture("an image of text", "hello", "1.png"),
    picture("an image of a web page", "<html>", "1.png"),
    picture("a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "1.png"),
    picture("a PNG that is its first bytes", b"\x89PNG\r\n\x1a\n", "1.png"),
    picture("a PNG without pixels", _png(12, 12), "1.png"),
    picture("a PNG of a billion pixels", _png(40_000, 40_000), "1.png", "pixels"),
    picture("a PNG of the largest size", _png(2**31 - 1, 2**31 - 1), "1.png"),
    picture("a PNG of no width", _png(0, 12), "1.png"),
    picture("a PNG of zeros that unpack to much", _png(12_000, 12_000, b"\0" * (36_001 * 12_000 // 8)), "1.png"),
    picture("an SVG", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "1.png"),
    picture("a script for PostScript", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\nshowpage\n", "1.png"),
    picture("a pickle", b"\x80\x04N.", "1.png"),
    picture("a TIFF of no directory", b"II*\0\xff\xff\xff\xff", "1.png"),
    picture("a GIF of no frame", b"GIF89a\xff\xff\xff\xff\0\0\0;", "1.png"),
    images("a cut JPEG", _cut("JPEG"), "pictures", "1.png"),
    images("a cut PNG", _cut("PNG"), "pictures", "1.png"),
    images("a PNG with a note of 200 MB", _text_bomb, "pictures", "1.png"),
    images("an image is missing", removed("pictures/1.png"), "pictures/1.png"),
    images("an image is a folder", all_of(removed("pictures/1.png"), written("pictures/1.png/x", "")), "1.png"),
    images("an image at an address", _second(image="https://example.org/1.png"), "pictures", "example.org"),
    images("an image of numbers", _second(image=[[0, 1], [1, 0]]), "pictures"),
    images("an image is null", _second(image=None), "pictures", "row"),
    images("an image is an empty text", _second(image=""), "pictures"),
    images("an image leads out", _second(image="../../../../etc/passwd"), "pictures", "passwd"),
    images("an image leads out by its whole path", _second(image="/var/lib/1.png"), "pictures", "/var/lib/1.png", "leads out"),
    images("an image leads out and ends as one", _second(image="../../1.png"), "row 1", "../../1.png", "leads out"),
    images("an image at an address in an archive", _second(image="zip://1.png::https://example.org/a.png"), "row 1", "example.org"),
    images("an image leads out in an object", _rows(*[{**row, "image": {"path": "/var/lib/1.png"}} for row in ROWS]), "row 0", "/var/lib/1.png", "leads out"),
    images("an image is a pipe", _pipe, "row 1", "1.png", "not an ordinary file"),
    images("an image of a name of 5,000 letters", _second(image="a" * 5_000 + ".png"), "row 1"),
    images("no image is there", removed("pictures"), "row 0", "pictures/0.png"),
    images("no column of images", _rows({"text": "a", "label": "a"}, {"text": "b", "label": "b"}), "pictures", "image"),
    images("a label that is null", _second(label=None), "pictures", "valid", code=0),  # a row without a label
    images("a label of another sort", _second(label=["a"]), "pictures", "label"),
    images("one label only", _rows(*[{**row, "label": "a"} for row in ROWS]), "pictures", "label"),
    images("columns of no part", untouched, "recipe.yaml:8", "picture", more="columns: {picture: image}"),
    images("a template for images", untouched, "recipe.yaml:8", more='template: {prompt: "{image}", completion: "{label}"}'),
    images("no processor", removed(P), "vit"),
    images("a processor that is no JSON", written(P, "{"), "vit"),
    images("a processor of an unknown class", written(P, '{"image_processor_type": "WonderProcessor"}'), "vit"),
    images("a processor of no size", written(P, '{"image_processor_type": "ViTImageProcessor", "size": {"height": 0, "width": 0}}'), "vit"),
    images("a processor of a huge size", written(P, '{"image_processor_type": "ViTImageProcessor", "size": {"height": 100000, "width": 100000}}'), "vit"),
    images("a processor of a negative size", _processor(size={"height": -8, "width": 8}), "vit", "size.height is -8"),
    images("a processor of a size that is a text", _processor(size={"height": "big", "width": 8}), "vit"),
    images("a processor of a huge crop", _processor(do_center_crop=True, crop_size={"height": 10**6, "width": 8}), "vit", "crop_size.height"),
    images("a processor whose mean is a text", _processor(image_mean="grey"), "vit", "image_mean"),
    images("a processor of too many means", _processor(image_mean=[0.5] * 7, image_std=[0.5] * 7), "row 0"),
    images("a processor that divides by zero", _processor(image_std=[0.0, 0.0, 0.0]), "vit", "image_std"),
    images("a base of images of three sides", changed_json("vit/config.json", {"image_size": [12, 12, 12]}), "config.json"),
    images("images for a base of texts", written("vit/config.json", '{"model_type": "bert"}'), "pictures", "bert model", "image-classification"),
)  # fmt: skip
