"""Draw one small picture of a file that a stranger sent. A program of its own, started by `drawing`.

    python -I -S child.py MIME_TYPE SITE_FOLDER...    file on standard input, answer on standard output

Decoders are where hostile files attack, so this process is given nothing to take: an empty environment, no
file it may open once the decoders are loaded, no file it may write, little memory, seconds of computing
time. Only the decoder of the type that the first bytes prove is tried. A PDF is drawn by a PDFium without
JavaScript; what is animated is drawn once.

The answer is one line of JSON, then the picture's bytes. Whoever reads it believes none of it.
"""

from __future__ import annotations

import io
import json
import math
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:  # the decoders are loaded after the limits are set
    from PIL import Image

MEMORY_BYTES = 512 * 1024 * 1024
CPU_S = 10
ALARM_S = 30
"""Ends a child whose parent was killed; a living parent ends it before."""

MAX_PIXELS = 64_000_000
"""A phone's camera makes 50 million at most; a bomb says billions."""

MAX_BYTES = 40 * 1024
MAX_SIDE = 3000

# Area in pixels and quality, best first: the first that fits is taken. A tall screenshot keeps its digits.
LADDER = (
    (900_000, 70),
    (900_000, 50),
    (900_000, 36),
    (600_000, 40),
    (400_000, 36),
    (250_000, 30),
    (120_000, 24),
    (40_000, 10),
)
_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}


def main(mime_type: str, folders: list[str]) -> NoReturn:
    """Answer and end, without running anything that the decoders left to be run at the end."""
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_S)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    signal.alarm(ALARM_S)
    sys.path.extend(folders)
    _load_decoders()
    content = sys.stdin.buffer.read()
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 0)
    try:
        picture, pages = _draw_pdf(content) if mime_type == "application/pdf" else _open(content, mime_type)
        _finish(*_shrink(picture), pages)
    except MemoryError:
        _fail("too_costly")


def _limit(kind: int, most: int) -> None:
    """Lower a limit for good; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))


def _load_decoders() -> None:
    """Everything that is read from the disk is read now."""
    try:
        import PIL.Image  # noqa: PLC0415 - after the limits
        import PIL.ImageOps  # noqa: PLC0415 - after the limits
        import PIL.JpegImagePlugin  # noqa: PLC0415 - after the limits
        import PIL.MpoImagePlugin  # noqa: PLC0415 - after the limits
        import PIL.PngImagePlugin  # noqa: PLC0415 - after the limits
        import PIL.WebPImagePlugin  # noqa: PLC0415 - after the limits
        import pypdfium2  # noqa: PLC0415 - after the limits
    except (ImportError, OSError) as error:
        _answer({"not_installed": str(error)[:200]}, b"")
    PIL.Image.MAX_IMAGE_PIXELS = None  # we look ourselves, before anything is decoded
    PIL.Image.new("RGB", (1, 1)).save(io.BytesIO(), "WEBP")
    assert pypdfium2.PdfDocument is not None  # noqa: S101 - the lazy parts of it are loaded


def _open(content: bytes, mime_type: str) -> tuple[Image.Image, int]:
    """A photo: turned as the camera was held, at most the first rung's size, on white, without metadata."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - after the limits

    if mime_type not in _FORMATS:
        _fail("wrong_type")
    try:
        image = Image.open(io.BytesIO(content), formats=[_FORMATS[mime_type]])
        if image.width < 1 or image.height < 1:
            _fail("empty")
        if image.width * image.height > MAX_PIXELS:
            _fail("too_many_pixels")
        if image.mode in ("1", "P", "PA"):  # these would be shrunk without smoothing
            image = image.convert("L" if image.mode == "1" else "RGBA")
        image.thumbnail(_fit(image.size, LADDER[0][0]), Image.Resampling.LANCZOS, reducing_gap=2.0)
        image = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders raise whatever they like at bytes they do not understand
        _fail("damaged")
    return image, 1


def _draw_pdf(content: bytes) -> tuple[Image.Image, int]:
    import pypdfium2  # noqa: PLC0415 - after the limits
    import pypdfium2.raw  # noqa: PLC0415 - after the limits

    try:
        document = pypdfium2.PdfDocument(content)
        pages = len(document)
        if pages < 1:
            _fail("empty")
        page = document[0]
        width, height = page.get_size()
        if not (width > 0 and height > 0 and math.isfinite(width) and math.isfinite(height)):
            _fail("empty")
        scale = min(math.sqrt(LADDER[0][0] / (width * height)), MAX_SIDE / max(width, height))
        return page.render(scale=scale, may_draw_forms=False).to_pil(), pages
    except MemoryError:
        raise
    except pypdfium2.PdfiumError as error:
        protected = getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD
        _fail("protected" if protected else "damaged")
    except Exception:  # noqa: BLE001 - as above
        _fail("damaged")


def _fit(size: tuple[int, int], area: int) -> tuple[int, int]:
    """A size of the same shape with at most this area and no side too long; never larger than it is."""
    width, height = size
    scale = min(1.0, math.sqrt(area / (width * height)), MAX_SIDE / max(width, height))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _shrink(image: Image.Image) -> tuple[bytes, int, int]:
    """The picture on white, without anything beside its pixels, at the best rung that fits."""
    from PIL import Image  # noqa: PLC0415 - after the limits

    try:
        if image.mode.startswith("I;16"):
            image = image.convert("I").point(lambda value: value / 257).convert("L")
        with_alpha = image.mode in ("RGBA", "LA", "La", "RGBa") or "transparency" in image.info
        seen = image.convert("RGBA") if with_alpha else image.convert("RGB")
        clean = Image.new("RGB", seen.size, "white")
        clean.paste(seen, mask=seen if with_alpha else None)
        for area, quality in LADDER:
            smaller = clean.resize(_fit(clean.size, area), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            smaller.save(buffer, "WEBP", quality=quality, method=5)
            if len(buffer.getvalue()) <= MAX_BYTES:
                return buffer.getvalue(), smaller.width, smaller.height
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - as above
        _fail("damaged")
    _fail("too_costly")


def _finish(content: bytes, width: int, height: int, pages: int) -> NoReturn:
    _answer({"width": width, "height": height, "pages": pages}, content)


def _fail(reason: str) -> NoReturn:
    _answer({"failure": reason}, b"")


def _answer(head: dict[str, object], content: bytes) -> NoReturn:
    whole = json.dumps(head).encode("ascii") + b"\n" + content
    while whole:
        whole = whole[os.write(1, whole) :]
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
