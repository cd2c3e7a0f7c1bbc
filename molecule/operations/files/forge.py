"""Write a backup anew with another manifest, as a program of the same format would: `forge.py FROM TO NAME=JSON`."""

import gzip
import io
import json
import sys
import tarfile

source, target, change = sys.argv[1:]
name, _, value = change.partition("=")
with tarfile.open(source) as old, gzip.open(target, "wb") as plain, tarfile.open(fileobj=plain, mode="w|") as new:
    for member in old:
        content = old.extractfile(member).read()
        if member.name == "manifest.json":
            manifest = json.loads(content)
            manifest[name] = manifest[name] | json.loads(value) if name == "migrations" else json.loads(value)
            content = json.dumps(manifest).encode()
        info = tarfile.TarInfo(member.name)
        info.size = len(content)
        new.addfile(info, io.BytesIO(content))
