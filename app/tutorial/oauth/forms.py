"""Registering applications: the forms offer what this server does, and not what it refuses later."""

from typing import Any

from django.forms import ModelForm, modelform_factory
from oauth2_provider.admin import ApplicationAdmin as ToolkitApplicationAdmin
from oauth2_provider.forms import ApplicationForm as ToolkitApplicationForm
from oauth2_provider.models import AbstractApplication, get_application_model
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.views import ApplicationRegistration as ToolkitRegistration
from oauth2_provider.views import ApplicationUpdate as ToolkitUpdate

CHOICES = {
    "authorization_grant_type": {
        "": "---------",
        AbstractApplication.GRANT_AUTHORIZATION_CODE: "Authorization code: users log in by a browser",
        AbstractApplication.GRANT_DEVICE_CODE: "Device code: users log in on another device",
        AbstractApplication.GRANT_CLIENT_CREDENTIALS: "Client credentials: a service that acts for itself",
    },
    "algorithm": {
        AbstractApplication.NO_ALGORITHM: "No ID tokens: the application may not ask for the scope openid",
        AbstractApplication.RS256_ALGORITHM: "RS256: ID tokens, which clients verify by the published key",
    },
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
        for name in CHOICES.keys() & self.fields.keys():
            self.fields[name].choices = self._choices(name)
        if oauth2_settings.OIDC_ENABLED and not self.instance.pk:
            self.initial["algorithm"] = AbstractApplication.RS256_ALGORITHM

    def _choices(self, name: str) -> list[tuple[str, str]]:
        working = dict(CHOICES[name])
        if not oauth2_settings.OIDC_ENABLED:
            working.pop(AbstractApplication.RS256_ALGORITHM, None)
        stored = getattr(self.instance, name) if self.instance.pk else ""
        return [
            *working.items(),
            *(one for one in self.fields[name].choices if one[0] == stored not in working),
        ]


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
