"""The tutorial's settings with this app. They refuse root, who must never run a project's code."""

import os

from tutorial.settings import *  # noqa: F403  # as Django's documentation has it for settings of one environment
from tutorial.settings import INSTALLED_APPS, MIDDLEWARE

if os.geteuid() == 0:
    raise RuntimeError("root runs the project's code")

INSTALLED_APPS = [*INSTALLED_APPS, "chaos"]
MIDDLEWARE = ["chaos.middleware.hang", *MIDDLEWARE]
