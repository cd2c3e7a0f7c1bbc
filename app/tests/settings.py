"""The project's settings for tests inside this process."""

import os

# Nothing of the developer's own settings, and no key file in the source folder.
PREFIXES = ("DJANGO_", "CELERY_", "CORS_", "OAUTH_", "OIDC_", "DATABASE_", "EMAIL_")
for name in list(os.environ):
    if name.startswith(PREFIXES) and "MODULE" not in name:
        del os.environ[name]
os.environ["DJANGO_SECRET_KEY"] = "not secret, and long enough for Django's own deployment checks"

from tutorial.settings import *  # noqa: E402, F403  # the environment must be ready before

# Hashing as slow as it should be in production would be most of the tests' time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *PASSWORD_HASHERS]  # noqa: F405  # as above

# A second database, on a server that conftest.py starts; see the fixture `engine`.
DATABASES["postgresql"] = {  # noqa: F405  # from the line with the star
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "postgres",
    "USER": "app",
}

# Tests change the toolkit's settings, which its views would otherwise read once for all.
OAUTH2_PROVIDER["ALWAYS_RELOAD_OAUTHLIB_CORE"] = True  # noqa: F405  # as above
