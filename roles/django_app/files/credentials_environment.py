"""Give the project each credential under its own name, in this process alone: not all projects read NAME_FILE."""

import os

folder = os.environ.get("CREDENTIALS_DIRECTORY")
if folder and os.environ.get("CREDENTIALS_IN_ENVIRONMENT") == "true":
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            value = file.read().removesuffix("\n")
        # Without fallbacks there is no such variable.
        if value:
            os.environ[name] = value
