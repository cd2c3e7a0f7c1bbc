"""The toolkit's decisions about requests, with what this package adds."""

import logging
from typing import Any

from oauthlib.common import Request

from tutorial import audit
from tutorial.oauth import clients, concurrency, openid, redirects

logger = logging.getLogger(__name__)


class OAuth2Validator(openid.Validator, concurrency.OAuth2Validator, clients.OAuth2Validator):
    """Also refuses redirect URIs and origins that were stored without being checked."""

    def validate_redirect_uri(self, client_id: str, uri: str, request: Request, *args: object) -> bool:
        """Tell whether the client may have the answer sent there."""
        if reason := redirects.refusal(uri):
            logger.warning("Client %s: %s", client_id, reason)
            return False
        return bool(super().validate_redirect_uri(client_id, uri, request, *args))

    def is_origin_allowed(self, client_id: str, origin: str, request: Request, *args: object) -> bool:
        """Tell whether scripts from there may read the answer."""
        return not redirects.refusal(origin) and bool(
            super().is_origin_allowed(client_id, origin, request, *args)
        )

    def save_bearer_token(
        self, token: dict[str, Any], request: Request, *args: object, **kwargs: object
    ) -> None:
        """Store the tokens, and note for whom."""
        super().save_bearer_token(token, request, *args, **kwargs)
        event = "token refreshed" if request.grant_type == "refresh_token" else "token issued"
        client: Any = request.client
        more = {"client": client.client_id, "grant": request.grant_type, "scope": token.get("scope")}
        audit.record(event, request.user, **more)

    def revoke_token(self, token: str, token_type_hint: str, request: Request, *args: object) -> None:
        """Revoke a token, and note who asked for it."""
        super().revoke_token(token, token_type_hint, request, *args)
        client: Any = request.client
        audit.record("revocation", client=client.client_id)
