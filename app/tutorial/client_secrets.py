"""How secrets of OAuth clients are stored, and which are refused; the reasons are in docs/security.md."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher, identify_hasher
from django.core.exceptions import ValidationError
from oauth2_provider.models import get_application_model

SHORTEST = 32  # characters: 128 bits as hexadecimal digits, the least that a random secret may have
FEWEST = 10  # different characters among them; random ones all but never have fewer


class ClientSecretHasher(PBKDF2PasswordHasher):
    """One salted round of PBKDF2 with HMAC-SHA256: enough for a secret that nobody can guess.

    Under a name of its own, so that Django neither takes it for an outdated password hash nor makes up
    for the missing rounds when a secret is wrong.
    """

    algorithm = "client_secret_sha256"
    iterations = 1


def validate_client_secret(secret: str) -> None:
    """Refuse a secret that somebody made up; one round of hashing would not protect it.

    What looks like a hash would be stored as it is, in plain text; so only a stored one passes, as when an
    application is edited.

    Raises:
        ValidationError: it is short, monotonous, has blanks, or looks like a hash that isn't stored.
    """
    try:
        identify_hasher(secret)
    except ValueError:
        if len(secret) < SHORTEST or len(set(secret)) < FEWEST or any(map(str.isspace, secret)):
            raise ValidationError(
                "A client secret must be random: at least %(shortest)s characters, %(fewest)s of them "
                "different, and no blanks. Leave it as it was generated.",
                code="weak_client_secret",
                params={"shortest": SHORTEST, "fewest": FEWEST},
            ) from None
    else:
        if not get_application_model().objects.filter(client_secret=secret).exists():
            raise ValidationError(
                "A client secret must not look like a hash. Leave it as it was generated.",
                code="hashed_client_secret",
            )
