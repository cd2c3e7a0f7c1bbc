"""Write a backup in the format before restic from `manifest.json` and `database` here, with a change: NAME=JSON."""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

name, _, value = sys.argv[1].partition("=")
manifest, content = json.loads(Path("manifest.json").read_text()), Path("database").read_bytes()
manifest = {name: value for name, value in manifest.items() if name not in ("state_bytes", "database_bytes", "live")}
manifest[name] = manifest[name] | json.loads(value) if name == "migrations" else json.loads(value)
part = {"name": "database.sqlite3", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
manifest |= {"format": 1, "parts": [part]}
with tarfile.open("/var/backups/tutorial/tutorial-forged.tar.gz", "w:gz") as archive:
    for member, text in {"manifest.json": json.dumps(manifest).encode(), part["name"]: content}.items():
        info = tarfile.TarInfo(member)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
