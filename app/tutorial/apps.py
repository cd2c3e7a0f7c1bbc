"""What the project adds to Django when it starts."""

from corsheaders.signals import check_request_enabled
from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate, pre_migrate


class TutorialConfig(AppConfig):
    """The project's own application."""

    name = "tutorial"

    def ready(self) -> None:
        """Keep the clean-up's indexes through every `migrate`; refuse weak secrets."""
        # Only now are the models loaded.
        from oauth2_provider.models import get_application_model

        from tutorial import audit
        from tutorial.client_secrets import validate_client_secret
        from tutorial.migrations._triggers import drop_triggers
        from tutorial.oauth.origins import is_allowed
        from tutorial.oauth.redirects import validate_uris
        from tutorial.schema import ensure_cache_table, ensure_indexes

        toolkit = apps.get_app_config("oauth2_provider")
        pre_migrate.connect(drop_triggers, sender=toolkit)
        post_migrate.connect(ensure_indexes, sender=toolkit)
        post_migrate.connect(ensure_cache_table, sender=toolkit)
        check_request_enabled.connect(is_allowed)
        audit.connect()
        # The one place that the Admin, the toolkit's own pages and `createapplication` have in common.
        # It isn't part of the fields' migration state.
        application = get_application_model()._meta
        application.get_field("client_secret").validators.append(validate_client_secret)
        for name in ("redirect_uris", "post_logout_redirect_uris", "allowed_origins"):
            application.get_field(name).validators.append(validate_uris)
