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
CPU_S = 6
ALARM_S = 40
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
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, 0)
    content = sys.stdin.buffer.read()
    try:
        picture, pages = _draw_pdf(content) if mime_type == "application/pdf" else _open(content, mime_type)
        drawn, width, height = _shrink(_clean(picture))
    except _Refused as refused:
        _answer({"failure": str(refused)}, b"")
    except MemoryError:
        _answer({"failure": "too_costly"}, b"")
    except Exception:  # noqa: BLE001 - decoders raise whatever they like at bytes they do not understand
        _answer({"failure": "damaged"}, b"")
    _answer({"width": width, "height": height, "pages": pages}, drawn)


class _Refused(Exception):
    """The file is not drawn, for a reason that has a name."""


def _limit(kind: int, most: int) -> None:
    """Lower a limit for good; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    ceiling = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    # Out of computing time, the soft limit ends with a signal that says so; the hard one, by plain force.
    grace = 1 if kind == resource.RLIMIT_CPU else 0
    resource.setrlimit(kind, (min(most, ceiling), min(most + grace, ceiling)))


def _load_decoders() -> None:
    """Everything that is read from the disk is read now."""
    try:
        import PIL.Image
        import PIL.ImageOps
        import PIL.JpegImagePlugin
        import PIL.MpoImagePlugin
        import PIL.PngImagePlugin
        import PIL.WebPImagePlugin
        import pypdfium2
    except (ImportError, OSError) as error:
        _answer({"not_installed": str(error)[:200]}, b"")
    PIL.Image.MAX_IMAGE_PIXELS = None  # we look ourselves, before anything is decoded
    PIL.Image.new("RGB", (1, 1)).save(io.BytesIO(), "WEBP")
    assert pypdfium2.PdfDocument is not None  # noqa: S101 - the lazy parts of it are loaded


def _open(content: bytes, mime_type: str) -> tuple[Image.Image, int]:
    """A photo: turned as the camera was held, no larger than the first rung."""
    from PIL import Image, ImageOps

    if mime_type not in _FORMATS:
        raise _Refused("wrong_type")
    image: Image.Image = Image.open(io.BytesIO(content), formats=[_FORMATS[mime_type]])
    if image.width < 1 or image.height < 1:
        raise _Refused("empty")
    if image.width * image.height > MAX_PIXELS:
        raise _Refused("too_many_pixels")
    if image.mode in ("1", "P", "PA"):  # these would be shrunk without smoothing
        image = image.convert("L" if image.mode == "1" else "RGBA")
    image.thumbnail(_fit(image.size, LADDER[0][0]), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return ImageOps.exif_transpose(image), 1


def _draw_pdf(content: bytes) -> tuple[Image.Image, int]:
    """The first page, at the first rung's size, and how many pages there are."""
    import pypdfium2
    import pypdfium2.raw

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        protected = getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD
        raise _Refused("protected" if protected else "damaged") from None
    pages = len(document)
    width, height = document[0].get_size() if pages else (0, 0)
    if not (width > 0 and height > 0 and math.isfinite(width * height)):
        raise _Refused("empty")
    scale = min(math.sqrt(LADDER[0][0] / (width * height)), MAX_SIDE / max(width, height))
    return document[0].render(scale=scale, may_draw_forms=False).to_pil(), pages


def _fit(size: tuple[int, int], area: int) -> tuple[int, int]:
    """A size of the same shape with at most this area and no side too long; never larger than it is."""
    width, height = size
    scale = min(1.0, math.sqrt(area / (width * height)), MAX_SIDE / max(width, height))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _clean(image: Image.Image) -> Image.Image:
    """The picture on white, without anything beside its pixels."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    with_alpha = image.mode in ("RGBA", "LA", "La", "RGBa") or "transparency" in image.info
    seen = image.convert("RGBA") if with_alpha else image.convert("RGB")
    clean = Image.new("RGB", seen.size, "white")
    clean.paste(seen, mask=seen if with_alpha else None)
    return clean


def _shrink(clean: Image.Image) -> tuple[bytes, int, int]:
    """The picture's bytes, width and height at the best rung that fits."""
    from PIL import Image

    for area, quality in LADDER:
        smaller = clean.resize(_fit(clean.size, area), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        smaller.save(buffer, "WEBP", quality=quality, method=5)
        if len(buffer.getvalue()) <= MAX_BYTES:
            return buffer.getvalue(), smaller.width, smaller.height
    raise _Refused("too_costly")


def _answer(head: dict[str, object], content: bytes) -> NoReturn:
    whole = json.dumps(head).encode("ascii") + b"\n" + content
    while whole:
        whole = whole[os.write(1, whole) :]
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
