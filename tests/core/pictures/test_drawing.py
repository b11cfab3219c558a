"""Whatever a file does, what comes out is a small picture or a reason, and this process is as it was."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from platform_core.errors import ConfigurationError
from platform_core.pictures import child, drawing
from platform_core.pictures.contracts import MAX_BYTES, MAX_SIDE, Picture, Undrawable
from platform_core.pictures.drawing import draw, judge
from tests.support import hostile
from tests.support.hostile import lazily

PNG, JPG, WEBP, PDF = "image/png", "image/jpeg", "image/webp", "application/pdf"
WEBP_START = b"RIFF\x04\x00\x00\x00WEBP"


def _drawn(content: bytes, mime_type: str) -> Picture:
    found = draw(content, mime_type)
    assert isinstance(found, Picture), found
    return found


def _opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.content), formats=["WEBP"])


def _shade(picture: Picture) -> int:
    """How light the middle is, 0 to 255."""
    return _opened(picture).convert("L").tobytes()[32 * 64 + 32]


@pytest.mark.parametrize(
    ("make", "mime_type", "expected"),
    [
        pytest.param(hostile.png_bomb, PNG, "too_many_pixels", id="1 KB that says 50,000 x 50,000"),
        pytest.param(hostile.png_text_bomb, PNG, "damaged", id="text that unfolds to 100 MB"),
        pytest.param(lambda: hostile.photo()[:5000], JPG, "damaged", id="a photo cut short"),
        pytest.param(lambda: hostile.photo(kind="PNG")[:3000], PNG, "damaged", id="a PNG cut short"),
        pytest.param(lambda: hostile.photo(kind="WEBP")[:3000], WEBP, "damaged", id="a WebP cut short"),
        pytest.param(
            lambda: b"\x89PNG\r\n\x1a\n" + hostile.zip_bomb(), PNG, "damaged", id="a zip bomb as .png"
        ),
        pytest.param(lambda: b"%PDF-1.7\n" + hostile.zip_bomb(), PDF, "damaged", id="a zip bomb as .pdf"),
        pytest.param(lambda: hostile.SVG, "image/svg+xml", "wrong_type", id="an SVG with a script"),
        pytest.param(lambda: hostile.SVG, PNG, "damaged", id="an SVG as .png"),
        pytest.param(lambda: b"\xff\xd8\xff" + hostile.HTML, JPG, "damaged", id="a page as .jpg"),
        pytest.param(lambda: hostile.photo(kind="GIF"), JPG, "damaged", id="a GIF as .jpg"),
        pytest.param(lambda: hostile.photo(kind="PNG"), JPG, "damaged", id="a PNG as .jpg"),
        pytest.param(hostile.pdf_locked, PDF, "protected", id="a PDF with a password"),
        pytest.param(lazily(hostile.pdf_of_pages, 0), PDF, "damaged", id="a PDF without pages"),
        pytest.param(hostile.pdf_content_bomb, PDF, "too_costly", id="a PDF of ten million shapes"),
        pytest.param(hostile.pdf_nested_forms, PDF, "too_costly", id="a PDF of forms in forms"),
        pytest.param(lambda: b"%PDF-1.7 a receipt", PDF, "damaged", id="a PDF that is a word"),
        pytest.param(bytes, PDF, "damaged", id="nothing"),
    ],
)
def test_a_file_that_does_harm_has_no_picture_and_a_reason(
    make: Callable[[], bytes], mime_type: str, expected: str
) -> None:
    """Each ends in a verdict that a person understands."""
    assert draw(make(), mime_type) == expected


@pytest.mark.parametrize(
    ("make", "mime_type", "expected"),
    [
        pytest.param(lazily(hostile.animation, "PNG", 10_000), PNG, (16, 16, 1), id="10,000 frames of APNG"),
        pytest.param(
            lazily(hostile.animation, "WEBP", 10_000), WEBP, (16, 16, 1), id="10,000 frames of WebP"
        ),
        pytest.param(lazily(hostile.png_flat, 7990, 7990), PNG, (948, 948, 1), id="64 million pixels"),
        pytest.param(lazily(hostile.png_flat, 60_000, 1), PNG, (3000, 1, 1), id="a line"),
        pytest.param(hostile.pdf_with_script, PDF, (833, 1079, 1), id="a PDF with JavaScript"),
        pytest.param(lazily(hostile.pdf_of_pages, 10_000), PDF, (833, 1079, 10_000), id="10,000 pages"),
        pytest.param(hostile.pdf_image_bomb, PDF, (833, 1079, 1), id="a PDF with an image bomb"),
        pytest.param(
            lambda: hostile.pdf_page(size=b"0 0 14400000 14400000"), PDF, (948, 948, 1), id="a page of 5 km"
        ),
        pytest.param(lambda: hostile.photo() + hostile.HTML, JPG, (821, 1095, 1), id="a photo and a page"),
        pytest.param(
            lambda: hostile.pdf_page() + hostile.zip_bomb(1), PDF, (833, 1079, 1), id="a PDF and an archive"
        ),
    ],
)
def test_a_file_that_is_strange_is_drawn_once(
    make: Callable[[], bytes], mime_type: str, expected: tuple[int, int, int]
) -> None:
    """Only pixels come out: no frame but the first, no script, nothing that was hidden behind it."""
    found = _drawn(make(), mime_type)

    assert (found.width, found.height, found.pages) == expected
    assert len(found.content) <= MAX_BYTES
    assert b"script" not in found.content


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1080, 1440), (821, 1095)), ((1080, 6000), (402, 2233)), ((300, 200), (300, 200))],
    ids=["photo", "tall screenshot", "small"],
)
def test_a_picture_keeps_its_shape_and_is_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """A tall screenshot keeps its width legible instead of being cut to the height of a photo."""
    found = _drawn(hostile.photo(*size), JPG)

    assert (found.width, found.height) == expected == _opened(found).size


def test_the_noisiest_picture_still_fits() -> None:
    """Nothing compresses noise; it becomes smaller and coarser instead."""
    noise = Image.effect_noise((2000, 2000), 120).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")

    found = _drawn(buffer.getvalue(), PNG)

    assert 0 < len(found.content) <= MAX_BYTES
    assert max(found.width, found.height) > 200


def test_the_same_file_gives_the_same_picture() -> None:
    """Byte for byte: a replay changes nothing."""
    photo, page = hostile.photo(), hostile.pdf_page()

    assert _drawn(photo, JPG) == _drawn(photo, JPG)
    assert _drawn(page, PDF) == _drawn(page, PDF)


def test_a_photo_is_turned_as_it_was_held_and_tells_no_place() -> None:
    """The camera's orientation is applied; position, model, profile and comment are gone."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    exif[0x010F] = "A phone"
    exif.get_ifd(0x8825)[2] = (33.0, 26.0, 0.0)
    original = hostile.photo(400, 200, exif=exif, comment=b"secret words", icc_profile=b"a profile" * 20)

    found = _drawn(original, JPG)

    assert (found.width, found.height) == (200, 400)
    assert dict(_opened(found).getexif()) == {}
    assert "icc_profile" not in _opened(found).info
    assert not any(word in found.content for word in (b"A phone", b"secret", b"EXIF", b"ICCP", b"XMP"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_shown(mode: str) -> None:
    """What is transparent is white, as on paper; what is dark stays dark."""
    kind, mime_type = ("JPEG", JPG) if mode == "CMYK" else ("PNG", PNG)
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 0).convert(mode).save(buffer, kind)

    assert _shade(_drawn(buffer.getvalue(), mime_type)) < 40


def test_what_is_transparent_is_white() -> None:
    """A screenshot without a background is not black on black."""
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(buffer, "PNG")

    assert _shade(_drawn(buffer.getvalue(), PNG)) == 255


# --- The process that draws -------------------------------------------------------------------------------


def test_a_file_that_is_not_drawn_in_time_is_given_up_and_its_process_is_gone() -> None:
    """The deadline is the parent's own; it asks nobody."""
    before = _children()

    assert draw(hostile.photo(), JPG, deadline_s=0.01) is Undrawable.TOO_SLOW
    assert _children() == before


def _children() -> list[str]:
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout
    return [line for line in listed.splitlines() if "child.py" in line]


def test_a_child_has_given_up_everything_before_it_reads_the_file() -> None:
    """Seen from outside, while a real child waits for its file: its limits, its environment, its folder."""
    running = subprocess.Popen(
        drawing.command(PNG), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, cwd="/"
    )
    try:
        limits = _limits_once_settled(running)
        environment = Path(f"/proc/{running.pid}/environ").read_bytes()
    finally:
        answer, _ = running.communicate(hostile.photo(kind="PNG"), timeout=30)

    assert limits == {
        "RLIMIT_AS": child.MEMORY_BYTES,
        "RLIMIT_CPU": child.CPU_S + 1,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": 0,
    }
    assert environment == b""
    assert isinstance(judge(answer, running.returncode), Picture)


def _limits_once_settled(running: subprocess.Popen[bytes]) -> dict[str, int]:
    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NPROC", "RLIMIT_NOFILE")
    until = time.monotonic() + 30
    while resource.prlimit(running.pid, resource.RLIMIT_NOFILE)[1] and time.monotonic() < until:
        assert running.poll() is None
    return {name: resource.prlimit(running.pid, getattr(resource, name))[1] for name in names}


def test_the_memory_of_a_bomb_is_not_ours() -> None:
    """The child dies of it; this process has not grown by it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert draw(hostile.pdf_nested_forms(), PDF) is Undrawable.TOO_COSTLY
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_parent_and_child_agree_on_what_is_small() -> None:
    """The child stands alone, so it repeats two numbers."""
    assert (child.MAX_BYTES, child.MAX_SIDE) == (MAX_BYTES, MAX_SIDE)


# --- What an answer is worth ------------------------------------------------------------------------------

HEAD = {"width": 10, "height": 20, "pages": 1}


def _said(head: object, content: bytes = WEBP_START) -> bytes:
    return json.dumps(head).encode() + b"\n" + content


def test_an_honest_answer_is_a_picture() -> None:
    """The bytes as they came."""
    assert judge(_said(HEAD), 0) == Picture("image/webp", WEBP_START, 10, 20, 1)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\n" + WEBP_START,
        b"[]\n" + WEBP_START,
        b"{" * 2000 + b"\n" + WEBP_START,
        b"\xff\xfe\n" + WEBP_START,
        _said(HEAD, b"<svg onload=alert(1)>"),
        _said(HEAD, b""),
        _said(HEAD, WEBP_START + b"x" * MAX_BYTES),
        _said(HEAD | {"width": 0}),
        _said(HEAD | {"width": 3001}),
        _said(HEAD | {"height": "9"}),
        _said(HEAD | {"height": True}),
        _said(HEAD | {"pages": -1}),
        _said(HEAD | {"pages": 10**9}),
        _said({"width": 1}),
        _said({"failure": "<script>"}),
        _said({"failure": ["damaged"]}),
    ],
)
def test_an_answer_of_a_child_that_was_taken_over_is_worth_nothing(said: bytes) -> None:
    """Whatever it is, it never becomes markup or a wrong size."""
    assert judge(said, 0) is Undrawable.BROKE


@pytest.mark.parametrize(
    ("returncode", "expected"),
    [
        (-signal.SIGXCPU, "too_costly"),
        (-signal.SIGABRT, "too_costly"),
        (-signal.SIGALRM, "too_costly"),
        (-signal.SIGSEGV, "broke"),
        (-signal.SIGKILL, "too_costly"),
        (-signal.SIGILL, "broke"),
        (1, "broke"),
    ],
)
def test_a_child_without_an_answer_is_judged_by_how_it_ended(returncode: int, expected: str) -> None:
    """Out of time or memory is the file's size; anything else is the decoder's fault."""
    assert judge(b"", returncode) == expected


def test_a_machine_without_the_libraries_is_ours_to_mend_and_not_the_files() -> None:
    """No verdict is kept: the job waits for a person."""
    with pytest.raises(ConfigurationError, match="do not load: no module"):
        judge(_said({"not_installed": "no module"}, b""), 0)
