"""A web process as the units run it: gunicorn with their configuration, on loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project import ROOT


@contextmanager
def serve(folder: Path, app: str, *options: str, **environment: str) -> Iterator[tuple[int, Path]]:
    """Serve the application that the text `app` defines, from the folder; yield the port and the log's path.

    Raises:
        AssertionError: at the end, if the log has a traceback.
    """
    (folder / "demo.py").write_text(app)
    log = folder / "log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command: list[str | Path] = [Path(sys.executable).parent / "gunicorn", "--config", "python:supervised.gunicorn"]
    command += ["--bind", f"127.0.0.1:{port}", *options, "demo:app"]
    library = {"PYTHONPATH": str(ROOT / "roles/systemd_units/files")}
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | library | environment, stdout=output, stderr=output
        )
        try:
            for _ in range(200):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port, log
        finally:
            server.terminate()
            server.wait(20)
    assert "Traceback" not in log.read_text()
