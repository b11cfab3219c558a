"""A job of another customer that leaves a marker wherever it can write, as a careless job does."""

from pathlib import Path


def main(marker: str) -> list[str]:
    """Where it was left."""
    left = []
    for folder in (
        Path.cwd(),
        *(Path("/", name) for name in ("tmp", "dev/shm", "var/lib/windmill", "var/tmp")),
    ):
        try:
            (folder / f"{marker}.txt").write_text(marker)
        except OSError:
            continue
        left.append(str(folder))
    return left
