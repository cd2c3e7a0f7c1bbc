"""Run Django's own "manage.py shell" in a project whose command of that name wants more, as with django-scopes.

What the project prints while it is loaded goes to standard error: standard output is the command's alone.
"""

import os
import runpy
import sys

from django.core import management
from django.core.management.commands.shell import Command

commands, handle = management.get_commands, Command.handle
output = os.dup(1)
os.dup2(2, 1)


def handle_with_output(self, **options):
    """Run the command when everything is loaded."""
    sys.stdout.flush()
    os.dup2(output, 1)
    return handle(self, **options)


Command.handle = handle_with_output
management.get_commands = lambda: {**commands(), "shell": "django.core"}
if os.path.exists("manage.py"):
    sys.argv[0] = "manage.py"
    runpy.run_path("manage.py", run_name="__main__")
else:
    management.execute_from_command_line(sys.argv)
