"""The toolkit's `cleartokens`, by hand: the same rows go, without harm beside the periodic task."""

from django.core.management.base import BaseCommand

from tutorial.cleanup import clear_expired


class Command(BaseCommand):
    """Takes the place of the toolkit's command, because this project comes first in INSTALLED_APPS."""

    help = "Can be run as a cronjob or directly to clean out expired tokens"

    def handle(self, *_: object, **__: object) -> None:
        """Delete expired tokens and grants."""
        clear_expired()
