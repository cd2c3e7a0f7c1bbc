"""Give the project each credential under its own name, in this process alone: not all projects read NAME_FILE.

And keep the settings module of the inventory where a project's wsgi.py or celery.py names its own, whatever the
environment says.
"""

import os

folder = os.environ.get("CREDENTIALS_DIRECTORY")
if folder and os.environ.get("CREDENTIALS_IN_ENVIRONMENT") == "true":
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            value = file.read().removesuffix("\n")
        # Without fallbacks there is no such variable.
        if value:
            os.environ[name] = value

if os.environ.get("DJANGO_SETTINGS_MODULE") == "inventory_settings":

    class Environment(type(os.environ)):
        """The environment, in which one name is settled."""

        def __setitem__(self, name, value):
            """Set another name."""
            if name != "DJANGO_SETTINGS_MODULE":
                super().__setitem__(name, value)

    os.environ.__class__ = Environment
