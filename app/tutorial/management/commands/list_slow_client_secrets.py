"""List the applications whose client secret costs too much, or protects too little."""

from django.contrib.auth.hashers import identify_hasher
from django.core.management.base import BaseCommand
from oauth2_provider.models import get_application_model

from tutorial.client_secrets import ClientSecretHasher


class Command(BaseCommand):
    """Print one line for each application whose secret isn't stored as new ones are."""

    help = "List the applications whose client secret is stored with a slow hasher, or in plain text."

    def handle(self, *_: object, **__: object) -> None:
        """Print client ID, way of storing and name, separated by tabs; nothing if there is none."""
        applications = get_application_model()._default_manager.exclude(client_secret="").order_by("pk")
        for application in applications.iterator():
            try:
                way = identify_hasher(application.client_secret).algorithm
            except ValueError:
                way = "plain text"
            if way != ClientSecretHasher.algorithm:
                self.stdout.write(f"{application.client_id}\t{way}\t{application.name}")
