"""Jinja filter that tells what is wrong with a list of OAuth applications, before any host is changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

LISTS = ("redirect_uris", "post_logout_redirect_uris", "allowed_origins")
TEXTS = ("name", "client_id", "client_secret")
CHOICES = {
    "client_type": ["confidential", "public"],
    "authorization_grant_type": ["authorization-code", "device-code", "client-credentials"],
    "algorithm": ["", "RS256"],
    "state": ["present", "absent"],
}
NAMES = {*LISTS, *TEXTS, *CHOICES, "skip_authorization"}
LOCAL = ("127.0.0.1", "::1")


def application_problems(
    applications: Sequence[Mapping[str, Any]], schemes: Sequence[str], origins: Sequence[str], oidc: bool
) -> list[str]:
    """Return a sentence for each application that can't be; schemes and origins are what redirects may have."""
    ids = [application.get("client_id") for application in applications]
    problems = []
    for number, application in enumerate(applications, 1):
        client_id = application.get("client_id")
        if not isinstance(client_id, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", client_id):
            problems.append(
                f"Entry {number} of django_app_oauth_applications needs as client_id letters, digits, dots, dashes or "
                "underscores."
            )
        elif fault := next(_faults(application, schemes, origins, oidc), ""):
            problems.append(f"The application {client_id} in django_app_oauth_applications {fault}.")
    twice = [str(client_id) for client_id, count in Counter(map(str, ids)).items() if count > 1]
    if twice and not problems:
        problems.append(f"django_app_oauth_applications names {', '.join(twice)} more than once.")
    return problems


def _faults(
    application: Mapping[str, Any], schemes: Sequence[str], origins: Sequence[str], oidc: bool
) -> Iterator[str]:
    if unknown := sorted(map(str, application.keys() - NAMES)):
        yield f"has {', '.join(unknown)}, which is none of {', '.join(sorted(NAMES))}"
    for name, choices in CHOICES.items():
        if name in application and application[name] not in choices:
            yield f"needs as {name} one of {', '.join(choices).strip(', ')}"
    if application.get("state") == "absent":
        return
    if missing := [name for name in ("client_type", "authorization_grant_type") if name not in application]:
        yield f"needs {' and '.join(missing)}"
    if wrong := [name for name in TEXTS if not isinstance(application.get(name, ""), str)]:
        yield f"needs text as {' and '.join(wrong)}"
    if not isinstance(application.get("skip_authorization", False), bool):
        yield "needs true or false as skip_authorization"
    for name in LISTS:
        value = application.get(name, [])
        if not isinstance(value, list) or not all(isinstance(uri, str) and uri.split() == [uri] for uri in value):
            yield f"needs a list of addresses as {name}"
        elif refused := [uri for uri in value if not _may_be(uri, schemes, origins)]:
            yield (
                f"has {refused[0]} in {name}, which is neither https nor http://127.0.0.1, nor listed in "
                "django_app_oauth_redirect_schemes or django_app_oauth_development_origins"
            )
    grant = application["authorization_grant_type"]
    if grant == "authorization-code" and not application.get("redirect_uris"):
        yield "needs redirect_uris, to which users return"
    if grant == "client-credentials" and application["client_type"] == "public":
        yield "must be confidential, because client credentials are a secret"
    if application.get("algorithm") and not oidc:
        yield "has an algorithm, for which django_app_oidc_enabled must be true"
    if "client_secret" in application:
        secret = application["client_secret"]
        if application["client_type"] == "public":
            yield "is public and can't keep a client_secret"
        if len(secret) < 32 or len(set(secret)) < 10 or secret.split() != [secret]:
            yield (
                "needs a random client_secret of at least 32 characters, or none, to have one generated in credentials/"
            )


def _may_be(uri: str, schemes: Sequence[str], origins: Sequence[str]) -> bool:
    try:
        parts = urlsplit(uri)
        local = parts.scheme == "http" and parts.hostname in LOCAL and "@" not in parts.netloc
    except ValueError:
        return False
    listed = parts.scheme in schemes or f"{parts.scheme}://{parts.netloc}" in origins
    return local or listed or (parts.scheme == "https" and bool(parts.hostname))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by name."""
        return {"application_problems": application_problems}
