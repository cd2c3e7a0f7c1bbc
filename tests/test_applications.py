"""What is wrong with a list of OAuth applications is said in one sentence each."""

from typing import Any

import pytest

from project import load_plugin

problems = load_plugin("roles/django_app/filter_plugins/applications.py").application_problems
WEB: dict[str, Any] = {
    "client_id": "shop",
    "client_type": "confidential",
    "authorization_grant_type": "authorization-code",
    "redirect_uris": ["https://shop.example.org/callback"],
}
NATIVE = WEB | {"client_id": "app", "client_type": "public"}
SCHEMES, ORIGINS = ["com.example.app"], ["http://localhost:3000"]


def test_good_ones_pass() -> None:
    uris = ["com.example.app:/cb", "http://127.0.0.1/", "http://[::1]:5/cb", "http://localhost:3000/cb"]
    good = [
        WEB | {"client_secret": "0123456789abcdef0123456789abcdef", "algorithm": "RS256", "skip_authorization": True},
        NATIVE | {"redirect_uris": uris, "allowed_origins": ["http://localhost:3000"], "algorithm": ""},
        {"client_id": "tv", "client_type": "public", "authorization_grant_type": "device-code"},
        {"client_id": "old", "state": "absent"},
    ]
    assert problems(good, SCHEMES, ORIGINS, True) == []
    assert problems([], [], [], False) == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"client_id": ""}, "Entry 1 of django_app_oauth_applications needs as client_id"),
        ({"client_id": None}, "Entry 1 of"),
        ({"client_id": "../../x"}, "Entry 1 of"),
        ({"client_type": "secret"}, "needs as client_type one of confidential, public."),
        ({"authorization_grant_type": "implicit"}, "needs as authorization_grant_type one of authorization-code, "),
        ({"authorization_grant_type": []}, "needs as authorization_grant_type one of"),
        ({"state": "gone"}, "needs as state one of present, absent."),
        ({"redirect_uri": []}, "has redirect_uri, which is none of algorithm, "),
        ({"redirect_uris": []}, "needs redirect_uris, to which users return."),
        ({"redirect_uris": "https://a.example/"}, "needs a list of addresses as redirect_uris."),
        ({"redirect_uris": ["https://a.example/ https://b.example/"]}, "needs a list of addresses as redirect_uris."),
        ({"redirect_uris": ["http://a.example/"]}, "has http://a.example/ in redirect_uris"),
        ({"redirect_uris": ["https://["]}, "has https://[ in redirect_uris"),
        ({"redirect_uris": ["com.other:/cb"]}, "has com.other:/cb in redirect_uris"),
        ({"allowed_origins": ["http://localhost:5173"]}, "has http://localhost:5173 in allowed_origins"),
        ({"name": 5}, "needs text as name."),
        ({"client_secret": 5}, "needs text as client_secret."),
        ({"skip_authorization": "yes"}, "needs true or false as skip_authorization."),
        ({"algorithm": "RS256"}, "has an algorithm, for which django_app_oidc_enabled must be true."),
        ({"client_secret": "made up"}, "needs a random client_secret of at least 32 characters, or none"),
        ({"client_secret": "x" * 40}, "needs a random client_secret"),
        ({"client_type": "public", "client_secret": "x" * 40}, "is public and can't keep a client_secret."),
        ({"client_type": "public", "authorization_grant_type": "client-credentials"}, "must be confidential, because"),
    ],
)
def test_each_fault_is_told(wrong: dict[str, Any], sentence: str) -> None:
    [told] = problems([WEB | wrong], SCHEMES, ORIGINS, False)
    assert sentence in told
    assert "made up" not in told


def test_what_is_missing_or_there_twice_is_told() -> None:
    [told] = problems([{"client_id": "shop"}], [], [], False)
    assert told.endswith("needs client_type and authorization_grant_type.")
    [told] = problems([WEB, WEB], [], [], False)
    assert told == "django_app_oauth_applications names shop more than once."
