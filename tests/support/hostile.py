"""Files that a stranger could send as a receipt, made here: small to keep, harmful to open."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_head(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    """How a PNG begins that says it is so large."""
    facts = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", facts)


def png_bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """About a kilobyte that says it is 50,000 times 50,000 pixels."""
    return (
        png_head(width, height)
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 900_000, 9))
        + png_chunk(b"IEND", b"")
    )


def png_flat(width: int, height: int) -> bytes:
    """A whole picture of one bit a pixel: tens of kilobytes that are as large as a photo when opened."""
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    squeezed = zlib.compressobj(9)
    body = b"".join([squeezed.compress(row) for _ in range(height)]) + squeezed.flush()
    return png_head(width, height, depth=1, colour=0) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def png_text_bomb() -> bytes:
    """A picture of one pixel beside compressed text that unfolds to a hundred megabytes."""
    text = b"Comment\0\0" + zlib.compress(b"a" * 100_000_000, 9)
    pixel = zlib.compress(b"\0\0\0\0")
    return png_head(1, 1) + png_chunk(b"zTXt", text) + png_chunk(b"IDAT", pixel) + png_chunk(b"IEND", b"")


def photo(width: int = 1080, height: int = 1440, *, kind: str = "JPEG", **how: object) -> bytes:
    """An honest picture: a gradient and lines, as `kind` of Pillow."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for y in range(0, height, 40):
        pen.line((0, y, width, y), fill="black")
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def animation(kind: str, frames: int) -> bytes:
    """A tiny picture that moves through so many frames."""
    images = [Image.new("RGB", (16, 16), (number % 256, number // 256, 0)) for number in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, kind, save_all=True, append_images=images[1:], duration=10)
    return buffer.getvalue()


def zip_bomb(megabytes: int = 60) -> bytes:
    """An archive of a few kilobytes that unfolds to so many megabytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("comprobante.pdf", b"\0" * (megabytes * 1024 * 1024))
    return buffer.getvalue()


SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>"""
HTML = b"<!doctype html><title>pago.jpg</title><script>alert(1)</script>"


def pdf(
    objects: Sequence[bytes], *, root: int = 1, trailer: bytes = b"", start: bytes = b"%PDF-1.7\n"
) -> bytes:
    """A PDF of these objects, numbered from one."""
    whole, places = bytearray(start), []
    for number, body in enumerate(objects, 1):
        places.append(len(whole))
        whole += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(whole)
    whole += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    whole += b"".join(b"%010d 00000 n \n" % place for place in places)
    whole += b"trailer\n<</Size %d/Root %d 0 R%b>>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        root,
        trailer,
        table,
    )
    return bytes(whole)


def pdf_stream(data: bytes, facts: bytes = b"") -> bytes:
    """A stream object."""
    return b"<</Length %d%b>>\nstream\n%b\nendstream" % (len(data), facts, data)


def pdf_page(
    content: bytes = b"BT /F1 24 Tf 40 700 Td (Transferencia 45.000 CLP) Tj ET",
    *,
    size: bytes = b"0 0 612 792",
    catalog: bytes = b"",
    resources: bytes = b"",
    more: Sequence[bytes] = (),
    facts: bytes = b"",
) -> bytes:
    """A PDF of one page."""
    return pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R%b>>" % catalog,
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[%b]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>%b>>>>"
            % (size, resources),
            pdf_stream(content, facts),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            *more,
        ]
    )


def pdf_of_pages(pages: int) -> bytes:
    """A PDF of so many empty pages."""
    kids = b" ".join(b"%d 0 R" % number for number in range(3, pages + 3))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]>>"
    return pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, pages),
            *[page] * pages,
        ]
    )


def pdf_with_script() -> bytes:
    """A page whose opening asks for JavaScript, a program and a web page."""
    script = b"<</S/JavaScript/JS(app.alert\\(1\\);this.submitForm\\('http://127.0.0.1:9/'\\))>>"
    launch = b"<</S/Launch/F(/bin/sh)/Next<</S/URI/URI(http://127.0.0.1:9/)>>>>"
    return pdf_page(catalog=b"/OpenAction 6 0 R/AA<</WC 7 0 R>>", more=[script, launch])


def pdf_image_bomb() -> bytes:
    """A page that shows an image of 50,000 times 50,000 pixels, packed three times over."""
    data = zlib.compress(zlib.compress(zlib.compress(b"\0" * 200_000_000, 9), 9), 9)
    filters = b"/Filter[/FlateDecode/FlateDecode/FlateDecode]"
    facts = b"/Type/XObject/Subtype/Image/Width 50000/Height 50000/ColorSpace/DeviceRGB/BitsPerComponent 8"
    return pdf_page(
        b"612 0 0 792 0 0 cm /I Do",
        resources=b"/XObject<</I 6 0 R>>",
        more=[pdf_stream(data, facts + filters)],
    )


def pdf_content_bomb() -> bytes:
    """A page of a few kilobytes that draws ten million overlapping shapes."""
    content = b"0 0 m 612 792 l 300 10 l f 1 0 0 rg 0 0 612 792 re f " * 5_000_000
    return pdf_page(zlib.compress(content, 9), facts=b"/Filter/FlateDecode")


def pdf_slow() -> bytes:
    """A page of a few hundred bytes that paints itself a hundred thousand times."""
    return pdf_page(zlib.compress(b"0 0 612 792 re f " * 100_000, 9), facts=b"/Filter/FlateDecode")


def pdf_nested_forms(depth: int = 12, width: int = 10) -> bytes:
    """A page that shows a form ten times, which shows a form ten times, and so on."""
    forms = []
    for level in range(depth):
        inner = b"/F Do " * width if level < depth - 1 else b"0 0 9 9 re f"
        facts = b"/Type/XObject/Subtype/Form/BBox[0 0 612 792]/Resources<</XObject<</F %d 0 R>>>>" % (
            7 + level
        )
        forms.append(pdf_stream(inner, facts))
    return pdf_page(b"/F Do", resources=b"/XObject<</F 6 0 R>>", more=forms)


def pdf_locked() -> bytes:
    """A PDF that asks for a password nobody has."""
    noise = b"<" + b"5a" * 32 + b">"
    lock = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O %b/U %b>>/ID[%b%b]" % (noise, noise, noise, noise)
    return pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]>>",
        ],
        trailer=lock,
    )


def lazily(make: Callable[..., bytes], *given: object) -> Callable[[], bytes]:
    """A file that is made when its test runs."""
    return lambda: make(*given)
