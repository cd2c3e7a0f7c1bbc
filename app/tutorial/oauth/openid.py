"""OpenID Connect with keys that are rotated, for the issuers https://HOST and https://HOST/o.

The toolkit accepts as a hint at logout only what the present key has signed, although it publishes the keys
of before, and knows one issuer, whose endpoints are all below its prefix.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import HttpRequest
from jwcrypto.jws import JWS  # type: ignore[import-untyped]  # no stubs
from oauth2_provider.exceptions import InvalidOIDCClientError, InvalidOIDCRedirectURIError
from oauth2_provider.models import AbstractApplication, AbstractIDToken
from oauth2_provider.oauth2_validators import OAuth2Validator as ToolkitValidator
from oauth2_provider.scopes import SettingsScopes
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.utils import jwk_from_pem
from oauth2_provider.views import RPInitiatedLogoutView
from oauthlib.common import Request
from oauthlib.openid.connect.core.grant_types import RefreshTokenGrant

from tutorial.claims import CLAIMS, claims_of
from tutorial.oauth import redirects

DEVICE_CODE = AbstractApplication.GRANT_DEVICE_CODE


class Scopes(SettingsScopes):
    """Those of the settings; `openid` is for applications that have users, and an algorithm for ID tokens."""

    def get_available_scopes(
        self, application: AbstractApplication | None = None, *args: object, **kwargs: object
    ) -> list[str]:
        """Return what an application may ask for; without one, what any may."""
        scopes: list[str] = super().get_available_scopes(application, *args, **kwargs)
        if application is None or (
            application.algorithm
            and application.authorization_grant_type != application.GRANT_CLIENT_CREDENTIALS
        ):
            return scopes
        return [scope for scope in scopes if scope != "openid"]


class Validator(ToolkitValidator):
    """Fills ID tokens, and knows those that a former key has signed."""

    @property
    def oidc_claim_scope(self) -> dict[str, str]:
        """Each claim with the scope that it needs."""
        return {"sub": "openid"} | {name: scope for name, (scope, _) in CLAIMS.items()}

    def get_claim_dict(self, request: Request) -> dict[str, Any]:
        """Return all claims of the user."""
        user: Any = request.user
        return {"sub": str(user.pk)} | {name: value for name, (_, value) in claims_of(user).items()}

    def get_discovery_claims(self, request: object) -> list[str]:
        """Return the names that there are."""
        return ["sub", *CLAIMS]

    def get_oidc_issuer_endpoint(self, request: HttpRequest | Request) -> str:
        """Return whom the endpoint answers for: at /o/token/ https://HOST/o, at /token/ https://HOST."""
        issuer: str = super().get_oidc_issuer_endpoint(request)
        path = request.path if isinstance(request, HttpRequest) else urlsplit(str(request.uri)).path
        return issuer if path.startswith("/o/") else issuer.removesuffix("/o")

    def _get_key_for_token(self, token: str) -> object:
        # What clients send may be anything.
        with suppress(AttributeError, ImproperlyConfigured, TypeError, ValueError):
            key = super()._get_key_for_token(token)
            former = map(jwk_from_pem, oauth2_settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE)
            if key and key["kty"] == "RSA":
                kid = JWS.from_jose_token(token).jose_header.get("kid")
                return next((one for one in former if one.thumbprint() == kid), key)
            return key
        return None

    def _save_bearer_token(
        self, token: dict[str, Any], request: Request, *args: object, **kwargs: object
    ) -> None:
        """Store the tokens; a device gets an ID token, too, for which oauthlib has no place."""
        if request.grant_type == DEVICE_CODE and "openid" in (request.scopes or []):
            RefreshTokenGrant(self).add_id_token(token, None, request)
        super()._save_bearer_token(token, request, *args, **kwargs)


class LogoutView(RPInitiatedLogoutView):
    """Where clients send users who log out."""

    def get_request_application(
        self, id_token: AbstractIDToken | None, client_id: str | None
    ) -> AbstractApplication | None:
        """Return the client's application, which the toolkit expects to be there."""
        try:
            found: AbstractApplication | None = super().get_request_application(id_token, client_id)
        except ObjectDoesNotExist:
            raise InvalidOIDCClientError from None
        return found

    def validate_post_logout_redirect_uri(
        self, application: AbstractApplication | None, post_logout_redirect_uri: str | None
    ) -> None:
        """Refuse also what was stored without being checked."""
        if post_logout_redirect_uri and (reason := redirects.refusal(post_logout_redirect_uri)):
            raise InvalidOIDCRedirectURIError(reason)
        super().validate_post_logout_redirect_uri(application, post_logout_redirect_uri)
