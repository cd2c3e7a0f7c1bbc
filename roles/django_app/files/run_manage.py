"""Run manage.py as Python does, or Django's own command where a project has none."""

import os
import runpy
import sys

# Not the code's own name.
sys.path[0] = os.getcwd()
if os.path.exists("manage.py"):
    sys.argv[0] = "manage.py"
    runpy.run_path("manage.py", run_name="__main__")
else:
    sys.argv[0] = "django-admin"
    runpy.run_module("django", run_name="__main__", alter_sys=True)
