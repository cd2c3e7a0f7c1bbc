"""The tutorial's settings with this app."""

from tutorial.settings import *  # noqa: F403  # as Django's documentation has it for settings of one environment
from tutorial.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "chaos"]
MIDDLEWARE = ["chaos.middleware.hang", *MIDDLEWARE]
