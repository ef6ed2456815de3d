"""Servers in processes of their own: the emulator, and a bare one that answers everything with the same bytes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_BARE = """
import socket, sys, uvicorn
body = sys.stdin.buffer.read()
headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, http="httptools", ws="none")
uvicorn.Server(config).run(sockets=[listener])
"""


@contextmanager
def emulator(state: Path | None = None) -> Iterator[str]:
    """The `stripe-emulator` command; its address. In memory unless it is given a file."""
    keep = [] if state is None else ["--state", str(state)]
    with _running([sys.executable, "-m", "stripe_emulator", "--port", "0", *keep], b"", "emulated at ") as url:
        yield url


@contextmanager
def bare(answer: bytes = b"{}") -> Iterator[str]:
    """A server of the same kind as the emulator's that does nothing but answer; its address."""
    with _running([sys.executable, "-c", _BARE], answer, "") as url:
        yield url


@contextmanager
def _running(command: list[str], sent: bytes, before_url: str) -> Iterator[str]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(sent)
        process.stdin.close()
        line = process.stdout.readline().decode()
        url = line.partition(before_url)[2].split(",")[0].strip() if before_url else line.strip()
        if not url.startswith("http://"):
            raise RuntimeError(f"the server did not start; it said {line!r}")
        _wait_for_an_answer(url)
        yield url
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait_for_an_answer(url: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            httpx.get(f"{url}/_emulator/health", trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
        else:
            return
