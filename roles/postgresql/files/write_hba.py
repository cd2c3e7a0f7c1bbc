"""Give pg_hba.conf the lines that let the hosts of an app in, in a block of its own; print what changes.

Arguments: the file, the name of the database, "check" or "write", and the lines; none removes the block.
Runs as the user whose folder it is.
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

path, database, way, *lines = sys.argv[1:]
marks = [f"# {word} of what Ansible wrote for {database} (role postgresql)\n" for word in ("BEGIN", "END")]
# Earlier versions named no database.
old_marks = [f"# {word} of what Ansible wrote (role postgresql)\n" for word in ("BEGIN", "END")]
before = Path(path).read_text(encoding="utf-8")
block = "".join([marks[0], *(f"{line}\n" for line in lines), marks[1]]) if lines else ""
after = before
for first, last in (marks, old_marks):
    found = re.search(re.escape(first) + r"(?:.*\n)*?" + re.escape(last), after)
    if found:
        after = after.replace(found[0], block, 1)
        block = ""
if block:
    after += ("" if after.endswith("\n") else "\n") + block
if after != before:
    print("\n".join(lines) or "no lines")
    if way == "write":
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(after)
            file.flush()
            os.fsync(descriptor)
        shutil.copymode(path, temporary)
        os.replace(temporary, path)
