"""Requests that use one token or code at the same moment.

The toolkit reads a refresh token, and locks it only when it stores the next pair. Of two requests at once
it gave the second an empty token and a 500, or took it for a thief's and revoked what the first had just got
(https://github.com/django-oauth/django-oauth-toolkit/issues/722 and /960). Here the second gets
`invalid_grant`, and what the first has got stays. The same pair can't be given to it, since tokens are stored
as checksums. RFC 9700 (section 4.14.2) revokes what was issued if a token is used *again*, so that holds once
a use can't be one of two at once.
"""

import hashlib
import logging
from datetime import timedelta
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, router, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from oauth2_provider.models import get_device_grant_model, get_refresh_token_model
from oauth2_provider.oauth2_validators import OAuth2Validator as ToolkitValidator
from oauthlib.common import Request
from oauthlib.oauth2 import InvalidGrantError

from tutorial import audit
from tutorial.oauth import device

logger = logging.getLogger(__name__)
# How far apart requests of the same moment may be served; longer, and thieves get more time unnoticed.
SAME_MOMENT = timedelta(seconds=2)


class OAuth2Validator(ToolkitValidator):
    """Uses up a token or code in the transaction that stores what is given for it."""

    def validate_refresh_token(
        self, refresh_token: str, client: object, request: Request, *args: object
    ) -> bool:
        """Tell whether the token may be used; revoke its family if it was used already, and not just now."""
        checksum = hashlib.sha256(refresh_token.encode()).hexdigest()
        tokens = get_refresh_token_model().objects.filter(token_checksum=checksum)
        with transaction.atomic(using=router.db_for_write(tokens.model)):
            # Locked, so that the toolkit finds it as it is found here.
            used = [token.revoked for token in tokens.select_for_update() if token.revoked]
            if any(moment > timezone.now() - SAME_MOMENT for moment in used):
                return False
            good = bool(super().validate_refresh_token(refresh_token, client, request, *args))
        if used and not good:
            audit.record("refresh token used again", client=getattr(client, "client_id", None))
        return good

    def _save_bearer_token(
        self, token: dict[str, Any], request: Request, *args: object, **kwargs: object
    ) -> None:
        """Store the tokens, or raise InvalidGrantError, which undoes it, where another request was faster."""
        if request.grant_type == "refresh_token":
            # The lock comes first, as everywhere: refresh token, then access token.
            used: Any = request.refresh_token_instance
            tokens = get_refresh_token_model().objects.select_for_update()
            if not tokens.filter(pk=used.pk, revoked__isnull=True, access_token__isnull=False):
                raise InvalidGrantError(request=request)
        super()._save_bearer_token(token, request, *args, **kwargs)
        if request.grant_type == "authorization_code":
            super().invalidate_authorization_code(request.client_id, request.code, request)
        elif request.grant_type == device.DEVICE_CODE:
            self._use_up_device_code(request)

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Request, *args: object
    ) -> None:
        """Do nothing, because it is done."""

    def _use_up_device_code(self, request: Request) -> None:
        """End the code, which is only good for the client that it was given to."""
        client: Any = request.client
        now = timezone.now()
        devices = get_device_grant_model().objects.filter(
            device_code=request.device_code, client_id=client.client_id, expires__gt=now
        )
        # Not deleted, because the user may still be looking at it; a day, because clocks differ.
        if not devices.update(expires=now - timedelta(days=1)):
            raise InvalidGrantError(request=request)

    def revoke_token(self, token: str, token_type_hint: str, request: Request, *args: object) -> None:
        """Revoke a token; with a refresh token also what a refresh beside this request has got for it."""
        super().revoke_token(token, token_type_hint, request, *args)
        checksum = hashlib.sha256(token.encode()).hexdigest()
        tokens = get_refresh_token_model().objects.filter(token_checksum=checksum, application=request.client)
        for family in tokens.values_list("token_family", flat=True):
            get_refresh_token_model().revoke_family(family)


class TokenView(device.TokenView):
    """The token endpoint."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Answer `invalid_grant` if what the request relies on was used, revoked or deleted meanwhile."""
        try:
            return super().post(request, *args, **kwargs)
        except (ObjectDoesNotExist, IntegrityError):
            logger.warning("A token, code, client or user went away during a token request", exc_info=True)
            return device.error_response(InvalidGrantError())
