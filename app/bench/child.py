"""One measurement in a process of its own: `python -m bench.child NAME [N]`, on the database DATABASE_URL."""

import json
import os
import sys

import django


def main() -> None:
    """Print what the measurement returns as JSON."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tutorial.settings")
    django.setup()
    from bench import measurements  # only now is Django ready

    print(json.dumps(getattr(measurements, sys.argv[1])(*sys.argv[2:])))


if __name__ == "__main__":
    main()
