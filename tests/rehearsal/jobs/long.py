"""A job that takes its time, and says on which worker and from when to when it ran."""

import socket
import threading
import time


def main(seconds: float) -> dict[str, object]:
    """Its host, and seconds since 1970."""
    began = time.time()
    threading.Event().wait(seconds)
    return {"host": socket.gethostname(), "began": began, "ended": time.time()}
