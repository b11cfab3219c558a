"""A job that wants more memory than its worker has."""


def main(megabytes: int) -> int:
    """How much it got."""
    held = [bytearray(b"x") * (16 * 1048576) for _ in range(megabytes // 16)]
    return len(held) * 16
