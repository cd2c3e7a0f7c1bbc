"""What the project adds to Django when it starts."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class TutorialConfig(AppConfig):
    """The project's own application."""

    name = "tutorial"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep indexes and triggers on the toolkit's tables through every `migrate`."""
        from tutorial import schema  # only now are the models loaded

        pre_migrate.connect(schema.before_migrate, sender=self)
        post_migrate.connect(schema.after_migrate, sender=self)
