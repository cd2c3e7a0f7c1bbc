"""Print the requirements of units.txt that an environment lacks; run by its Python, with names as arguments."""

import os
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

have = {re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower() for distribution in distributions()}
wanted = set(sys.argv[1:]) - have
if "psycopg2" in have or "psycopg2-binary" in have:
    wanted -= {"psycopg", "psycopg-binary"}
text = Path(os.environ["CACHE_DIRECTORY"], "units.txt").read_text(encoding="utf-8")
for requirement in re.findall(r"(?m)^[\w.-]+==(?:.*\\\n)*.*$", text):
    if requirement.partition("==")[0] in wanted:
        print(requirement)
