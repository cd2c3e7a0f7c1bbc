"""How users' passwords are stored."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class PasswordHasher(Argon2PasswordHasher):
    """Argon2id with what OWASP's Password Storage Cheat Sheet advises where memory is small.

    Django's own parameters take 100 MiB for each log-in: few at once are more than the web process may have.
    """

    time_cost = 3
    memory_cost = 12 * 1024  # KiB
    parallelism = 1
