"""Registering applications: the forms offer what this server does, and not what it refuses later."""

from typing import Any

from django.forms import ModelForm, modelform_factory
from oauth2_provider.admin import ApplicationAdmin as ToolkitApplicationAdmin
from oauth2_provider.forms import ApplicationForm as ToolkitApplicationForm
from oauth2_provider.models import AbstractApplication, get_application_model
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.views import ApplicationRegistration as ToolkitRegistration
from oauth2_provider.views import ApplicationUpdate as ToolkitUpdate

GRANTS = {
    AbstractApplication.GRANT_AUTHORIZATION_CODE,
    AbstractApplication.GRANT_DEVICE_CODE,
    AbstractApplication.GRANT_CLIENT_CREDENTIALS,
}
FIELDS = [
    "name",
    "client_id",
    "client_secret",
    "hash_client_secret",
    "client_type",
    "authorization_grant_type",
]
FIELDS += ["redirect_uris", "allowed_origins"]
OPENID_FIELDS = ["algorithm", "post_logout_redirect_uris"]


class ApplicationForm(ToolkitApplicationForm):
    """The toolkit's, without the grants that RFC 9700 forbids, and without OpenID Connect while it is off."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Leave the choices that work, and the one that an older application has."""
        super().__init__(*args, **kwargs)
        self._leave("authorization_grant_type", GRANTS)
        if not oauth2_settings.OIDC_ENABLED:
            self._leave("algorithm", {AbstractApplication.NO_ALGORITHM})

    def _leave(self, name: str, choices: set[str]) -> None:
        if field := self.fields.get(name):
            stored = getattr(self.instance, name) if self.instance.pk else ""
            field.choices = [choice for choice in field.choices if choice[0] in {*choices, "", stored}]


class FormMixin:
    """Gives the toolkit's pages that form."""

    def get_form_class(self) -> "type[ModelForm[Any]]":
        """Return the form with the fields that matter."""
        fields = FIELDS + (OPENID_FIELDS if oauth2_settings.OIDC_ENABLED else [])
        return modelform_factory(get_application_model(), form=ApplicationForm, fields=fields)


class ApplicationRegistration(FormMixin, ToolkitRegistration):
    """Where a user registers an application."""


class ApplicationUpdate(FormMixin, ToolkitUpdate):
    """Where a user edits one."""


class ApplicationAdmin(ToolkitApplicationAdmin):
    """The same in the Admin."""

    form = ApplicationForm
