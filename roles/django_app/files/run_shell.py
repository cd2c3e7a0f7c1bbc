"""Run Django's own "manage.py shell" in a project whose command of that name wants more, as with django-scopes."""

import os
import runpy
import sys

from django.core import management

commands = management.get_commands
management.get_commands = lambda: {**commands(), "shell": "django.core"}
if os.path.exists("manage.py"):
    sys.argv[0] = "manage.py"
    runpy.run_path("manage.py", run_name="__main__")
else:
    management.execute_from_command_line(sys.argv)
