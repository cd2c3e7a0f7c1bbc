"""Let somebody in who is locked out."""

from argparse import ArgumentParser

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from tutorial import audit


class Command(BaseCommand):
    """Forgets all attempts that were counted, and prints the path of a page that sets a new password."""

    help = "Let a user in who is locked out: forget attempts, give a link for a new password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the user and what else to do."""
        parser.add_argument("username")
        parser.add_argument(
            "--drop-second-factor", action="store_true", help="the phone and the recovery codes are lost"
        )

    def handle(self, *args: object, username: str, drop_second_factor: bool, **options: object) -> None:
        """Do it.

        Raises:
            CommandError: there is no such user, or one who may not log in at all.
        """
        model = get_user_model()
        user = model._default_manager.filter(**{model.USERNAME_FIELD: username}).first()
        if user is None:
            raise CommandError(f"There is no user {username}.")
        if not user.is_active:
            raise CommandError(
                f"{username} isn't active; activate the account in the Admin, or by the shell."
            )
        cache.clear()
        if drop_second_factor:
            Authenticator.objects.filter(user_id=user.pk).delete()
        audit.record("let in", user, second_factor="dropped" if drop_second_factor else "")
        key = {"uidb36": user_pk_to_url_str(user), "key": default_token_generator.make_token(user)}
        self.stdout.write(
            f"{username} may try again. Who opens this path of the site can set a new password, once:\n"
            f"{reverse('account_reset_password_from_key', kwargs=key)}"
        )
