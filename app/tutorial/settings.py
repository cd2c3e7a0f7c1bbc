"""Django settings, from the environment.

Every variable NAME may also be given as NAME_FILE, the path of a file with the value (its surrounding
white space is dropped); a file beats the variable. Nothing needs to be set to run the project by hand.
"""

import logging
import os
import re
import ssl
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import global_settings
from environs import FileAwareEnv, validate
from kombu import Queue

from tutorial.oauth.redirects import are_local_origins, are_private_schemes
from tutorial.queues import OneByOne
from tutorial.secret_key import local_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = FileAwareEnv(strip_whitespace=True)

# -- Security ---------------------------------------------------------------------------------------

SECRET_KEY = env.str("DJANGO_SECRET_KEY", None, validate=validate.Length(min=1))
if SECRET_KEY is None:
    SECRET_KEY = local_secret_key(BASE_DIR / ".secret_key")

# One a line: what was signed with them, such as a session, stays valid.
SECRET_KEY_FALLBACKS = env.str("DJANGO_SECRET_KEY_FALLBACKS", "").splitlines()

DEBUG = env.bool("DJANGO_DEBUG", False)
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"], subcast=str.strip)
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", [], subcast=str.strip)

# Redirect URIs with http: tutorial/oauth/redirects.py makes sure that they stay on the user's machine.
SILENCED_SYSTEM_CHECKS = ["oauth2_provider.W008"]

SERVED_OVER_TLS = env.bool("DJANGO_SERVED_OVER_TLS", False)
SESSION_COOKIE_SECURE = SERVED_OVER_TLS
CSRF_COOKIE_SECURE = SERVED_OVER_TLS
# What browsers are told they keep to for so long, whatever the server says later.
SECURE_HSTS_SECONDS = 0
if SERVED_OVER_TLS:
    SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", 3600, validate=validate.Range(min=0))
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("DJANGO_HSTS_SUBDOMAINS", False)
    SECURE_HSTS_PRELOAD = env.bool("DJANGO_HSTS_PRELOAD", False)
    # They are the operator's to choose.
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W005", "security.W021"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # Health checks come from this host itself, not through the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
else:
    # HSTS, TLS redirect, secure session and CSRF cookies: without TLS they would lock everyone out of
    # the Admin, and such a process listens on the loopback interface only.
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# The tutorial opens these to every origin; here they are closed unless listed, or an application lists it.
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", [], subcast=str.strip)
CORS_URLS_REGEX = (
    r"^/(api/|token/?$|o/(token|revoke_token|introspect|device-authorization|userinfo)/?$|(o/)?\.well-known/)"
)
CORS_EXPOSE_HEADERS = ["WWW-Authenticate"]

# -- Application ------------------------------------------------------------------------------------

# A list: the tutorial writes a set, which Django refuses.
INSTALLED_APPS = [
    "tutorial",  # first, so that its templates override the toolkit's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",  # before staticfiles: one way to serve them everywhere
    "django.contrib.staticfiles",
    "oauth2_provider",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "corsheaders",
    "django_celery_beat",
]

MIDDLEWARE = [
    "tutorial.middleware.chunked_bodies",
    "tutorial.middleware.well_formed",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tutorial.audit.middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tutorial.accounts.second_factor_for_staff",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "tutorial.urls"
WSGI_APPLICATION = "tutorial.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# -- Database ---------------------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": env.dj_db_url("DATABASE_URL", f"sqlite:///{quote(str(BASE_DIR / 'db.sqlite3'))}")}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # Web, worker and beat write to one file: readers don't wait for the writer (WAL), and a writer
    # waits for its turn from the start of its transaction (IMMEDIATE) for up to 20 seconds. A large clean-up
    # writes the same pages again and again: they are copied into the file after 16 MB, not after 4.
    _database["ENGINE"] = "tutorial.sqlite"
    _database["OPTIONS"] = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    } | _database.get("OPTIONS", {})
else:
    # SQLite opens its file for each request instead: cheap, and it notices a file that has gone.
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
    _database.setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)  # seconds, else minutes

# -- Accounts ---------------------------------------------------------------------------------------

LOGIN_REDIRECT_URL = "index"
LOGOUT_REDIRECT_URL = "index"
ACCOUNT_ADAPTER = "tutorial.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "tutorial.accounts.LoginForm"}
ACCOUNT_SIGNUP_ENABLED = False
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True  # for SESSION_COOKIE_AGE, without a question
# Who is logged in may be asked again, as a client's `prompt=login` wants it.
ACCOUNT_AUTHENTICATED_LOGIN_REDIRECTS = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if SERVED_OVER_TLS else "http"
# A second factor doesn't need mail.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Authorization server"
MFA_TOTP_TOLERANCE = 1  # periods of 30 seconds that a phone's clock may differ
SECOND_FACTOR_FOR_STAFF = env.bool("DJANGO_SECOND_FACTOR_FOR_STAFF", False)
# Attempts are counted here, for all processes and hosts. `migrate` makes the table.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        # Beyond it, what has ended goes first.
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}
# The first for new passwords; Django's own for older ones, which are replaced at log-in; the last is for
# clients' secrets only.
PASSWORD_HASHERS = [
    "tutorial.passwords.PasswordHasher",
    *(name for name in global_settings.PASSWORD_HASHERS if "Argon2" not in name),
    "tutorial.client_secrets.ClientSecretHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# -- Mail -------------------------------------------------------------------------------------------

# Nothing is sent without a server.
EMAIL_HOST = env.str("EMAIL_HOST", "")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'dummy'}.EmailBackend"
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", False)
EMAIL_PORT = env.int("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_TIMEOUT = 10  # seconds; a request waits for the server
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", "webmaster@localhost")

# -- OAuth 2.0 --------------------------------------------------------------------------------------

# Redirect URIs may be https, or http to 127.0.0.1 and [::1]; further ones (see tutorial/oauth/redirects.py):
# schemes of native apps, such as com.example.app,
OAUTH_REDIRECT_SCHEMES = env.list(
    "OAUTH_REDIRECT_SCHEMES", [], subcast=str.strip, validate=are_private_schemes
)
# and where web apps run while they are written, such as http://localhost:3000.
OAUTH_DEVELOPMENT_ORIGINS = env.list(
    "OAUTH_DEVELOPMENT_ORIGINS", [], subcast=str.strip, validate=are_local_origins
)

SCOPES = {"read": "Reading scope", "write": "Writing scope"}

OAUTH2_PROVIDER: dict[str, Any] = {
    "SCOPES": SCOPES,
    "ACCESS_TOKEN_EXPIRE_SECONDS": env.int(
        "OAUTH_ACCESS_TOKEN_SECONDS", 3600, validate=validate.Range(min=1)
    ),
    # The toolkit's default is for ever: then the clean-up never deletes a pair of tokens.
    "REFRESH_TOKEN_EXPIRE_SECONDS": env.int(
        "OAUTH_REFRESH_TOKEN_SECONDS", 30 * 24 * 3600, validate=validate.Range(min=1)
    ),
    "APPLICATION_ADMIN_CLASS": "tutorial.oauth.forms.ApplicationAdmin",
    "OAUTH2_RESPONSE_TYPES_SUPPORTED": ["code"],
    "OAUTH2_VALIDATOR_CLASS": "tutorial.oauth.validator.OAuth2Validator",
    "OAUTH2_BACKEND_CLASS": "tutorial.oauth.clients.OAuthLibCore",
    # Secrets are random and long: no need of the slow hashing that a password needs at every request.
    "CLIENT_SECRET_HASHER": "client_secret_sha256",
    # Short write locks, so that requests get their turn during a large clean-up.
    "CLEAR_EXPIRED_TOKENS_BATCH_SIZE": 4000,
    "CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL": 0.05,  # seconds
    # RFC 9700, Best Current Practice for OAuth 2.0 Security, in full; http is for this machine only.
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http", *OAUTH_REDIRECT_SCHEMES],
    "ALLOWED_SCHEMES": ["https", "http"],  # of origins
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}

# -- OpenID Connect ---------------------------------------------------------------------------------

# The key that signs ID tokens, as PEM; without one, OpenID Connect is off. What users' claims are: claims.py.
OIDC_SIGNING_KEY = env.str("OIDC_RSA_PRIVATE_KEY", "")
if OIDC_SIGNING_KEY:
    OAUTH2_PROVIDER |= {
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": OIDC_SIGNING_KEY,
        # Published beside it: what will sign, or has signed what hasn't expired. Public keys are enough.
        "OIDC_RSA_PRIVATE_KEYS_INACTIVE": re.findall(
            "-----BEGIN .+?-----END [A-Z ]+-----", env.str("OIDC_RSA_PRIVATE_KEYS_INACTIVE", ""), re.DOTALL
        ),
        "OIDC_JWKS_MAX_AGE_SECONDS": env.int("OIDC_JWKS_SECONDS", 3600, validate=validate.Range(min=0)),
        "ID_TOKEN_EXPIRE_SECONDS": env.int("OIDC_ID_TOKEN_SECONDS", 36000, validate=validate.Range(min=1)),
        "OIDC_RESPONSE_TYPES_SUPPORTED": ["code"],
        "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
        # Else a logout of one application would end the tokens of all.
        "OIDC_RP_INITIATED_LOGOUT_DELETE_TOKENS": False,
        "SCOPES_BACKEND_CLASS": "tutorial.oauth.openid.Scopes",
        "SCOPES": SCOPES
        | {
            "openid": "Know who you are",
            "profile": "Know your name and user name",
            "email": "Know your mail address",
        },
        # What a client gets that asks for none; the default would be all.
        "DEFAULT_SCOPES": list(SCOPES),
    }

# -- Static files -----------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {"staticfiles": {"BACKEND": "tutorial.storage.StaticFilesStorage"}}
# By hand, before collectstatic, files are served from where they are.
WHITENOISE_USE_FINDERS = not (STATIC_ROOT / "staticfiles.json").exists()
warnings.filterwarnings("ignore", "No directory at", UserWarning)  # WhiteNoise's, then
WHITENOISE_ALLOW_ALL_ORIGINS = False

# -- Logging ----------------------------------------------------------------------------------------


def _stderr_is_the_journal() -> bool:
    """Tell whether systemd's journal reads stderr (see JOURNAL_STREAM in systemd.exec(5))."""
    stderr = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


# Who did what (see audit.py): in the journal under an identifier of its own, if one is given.
_audit: dict[str, Any] = {"class": "logging.StreamHandler"}
AUDIT_IDENTIFIER = env.str("DJANGO_AUDIT_IDENTIFIER", "")
if AUDIT_IDENTIFIER and Path("/dev/log").exists():
    _audit = {"class": "logging.handlers.SysLogHandler", "address": "/dev/log", "facility": "authpriv"}
    _audit["."] = {"ident": f"{AUDIT_IDENTIFIER}: ", "append_nul": False}

# The journal has its own timestamps.
_time = "" if _stderr_is_the_journal() else "%(asctime)s: "

LOG_LEVEL = env.log_level("DJANGO_LOG_LEVEL", logging.INFO)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": f"[{_time}%(levelname)s/%(processName)s] %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}, "audit": _audit},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # One level and one handler for all; Django's own would beat them for its lines.
    "loggers": {
        name: {"handlers": [], "level": "NOTSET", "propagate": True} for name in ("django", "django.server")
    }
    | {"tutorial.audit": {"handlers": ["audit"], "level": "INFO", "propagate": False}}
    # While debugging it would show tokens.
    | {"oauthlib": {"level": max(LOG_LEVEL, logging.INFO)}},
}

# -- Celery -----------------------------------------------------------------------------------------

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "pyamqp://guest@localhost//")
# Without these a network cut makes the worker exit: the broker keeps the old connection, which locks
# the worker's control queue, until heartbeats are missed, and a channel error is not retried.
CELERY_BROKER_HEARTBEAT = 10  # seconds
# Of a cluster all brokers are named. When one is gone, the next is tried soon, and a queue has copies on all.
BROKER_IS_CLUSTER = ";" in CELERY_BROKER_URL
_durable: dict[str, Any] = {}
if BROKER_IS_CLUSTER:
    CELERY_BROKER_HEARTBEAT = 3
    CELERY_BROKER_CONNECTION_TIMEOUT = 2
    CELERY_BROKER_TRANSPORT_OPTIONS = {"confirm_publish": True}
    CELERY_WORKER_CONSUMER = "tutorial.consumer:Consumer"
    # Without a limit: each lost connection counts as a delivery, and the 21st would drop the message.
    _durable = {"x-queue-type": "quorum", "x-delivery-limit": -1}
# Of brokers on other hosts: the authority of their certificates, which all hold for one name.
BROKER_AUTHORITY = env.str("CELERY_BROKER_AUTHORITY", "")
if BROKER_AUTHORITY:
    CELERY_BROKER_USE_SSL = {
        "ca_certs": BROKER_AUTHORITY,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": "rabbitmq",
    }
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # for ever; 0 would be never

CELERY_TIMEZONE = "UTC"

# The broker gives the chores to one worker at a time, one by one, so that none runs beside itself or another.
CELERY_TASK_QUEUES = [
    Queue("celery", queue_arguments=_durable or None),
    OneByOne(
        "maintenance",
        routing_key="maintenance",
        queue_arguments=_durable | {"x-single-active-consumer": True},
    ),
]
CELERY_TASK_ROUTES = {"tutorial.tasks.*": {"queue": "maintenance"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # else beat adds a task that cleans a result backend that isn't there
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SOFT_TIME_LIMIT = 300  # seconds; without limits a hung task blocks its process for ever
CELERY_TASK_TIME_LIMIT = 330
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000  # so that leaked memory comes back
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 200_000  # KiB, likewise
# The broker gives the message of a lost connection to somebody else, so its task must not go on here.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True

CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until a change in the Admin is noticed
CELERY_BEAT_ENABLE_REMOTE_CONTROL = True  # lets `celery inspect ping` reach beat

CELERY_WORKER_LOG_FORMAT = f"[{_time}%(levelname)s/%(processName)s] %(message)s"
CELERY_WORKER_TASK_LOG_FORMAT = (
    f"[{_time}%(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"
)
