"""What the Django project knows, asked through the command that runs manage.py in the service's sandbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from commands import run

# How the last line of a traceback begins.
KIND = re.compile(r"^([\w.]+(?:Error|Exception|Configured|Invalid\w*))\b", re.MULTILINE)


def read_project(app: str, seconds: float) -> dict[str, Any]:
    """Return what the project tells; only an error if it can't be run."""
    # By its path, because systemd writes the command line to the journal.
    path, patience = str(Path(__file__).parent / "in_django.py"), max(2, round(seconds / 4))
    code = f"import runpy; runpy.run_path({path!r}, {{'PATIENCE': {patience}}})"
    answer = run([f"/usr/local/bin/{app}-manage", "shell", "--verbosity=0", "--command", code], seconds)
    if answer.code is None:
        # The process is systemd's child, not ours.
        if answer.pid:
            run(["systemctl", "--signal=KILL", "kill", f"{app}-manage-{answer.pid}.service"], 2)
        return {"error": f"no answer within {seconds:.0f} s"}
    try:
        facts: dict[str, Any] = json.loads(answer.out.strip().splitlines()[-1])
        return facts
    except (ValueError, IndexError):
        # Only the kind of the error: its words may hold a secret.
        kinds = KIND.findall(answer.out + answer.err)
        return {"error": kinds[-1].split(".")[-1] if kinds else f"manage.py ended with code {answer.code}"}
