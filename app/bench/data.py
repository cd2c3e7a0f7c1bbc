"""Databases full of tokens, made by SQL at some hundred thousand rows a second."""

from django.db import connection

# Each row: a number i from 1 to {n}.
NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {n}) "
USER = 1
APPLICATION = 1
DAY = 24 * 3600  # seconds


def sql_time(seconds: str) -> str:
    """Return SQL for the time that is so many seconds (SQL, too) from now."""
    if connection.vendor == "sqlite":
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({seconds}) || ' seconds')"
    return f"now() + ({seconds}) * interval '1 second'"


def _checksum(prefix: str) -> str:
    """Return SQL for a checksum that is spread over the index as a real one is."""
    if connection.vendor == "sqlite":
        return "lower(hex(randomblob(32)))"
    return f"md5('{prefix}' || i) || md5('{prefix}x' || i)"


def _insert(table: str, n: int, where: str = "true", **columns: str) -> None:
    columns |= {"created": sql_time("0"), "updated": sql_time("0")}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO oauth2_provider_{table} ({', '.join(columns)}) {NUMBERS.format(n=n)} "
            f"SELECT {', '.join(columns.values())} FROM numbers WHERE {where}"
        )


def owner() -> None:
    """Make the user and the application to which all tokens belong."""
    from django.contrib.auth.models import User
    from oauth2_provider.models import Application

    User.objects.create(pk=USER, username="bench")
    Application.objects.create(pk=APPLICATION, user_id=USER, name="bench", client_secret="")


def tokens(n: int, *, first: int, expire: str, paired: str, id_token: str) -> None:
    """Make `n` access tokens.

    Args:
        n: how many.
        first: their first primary key, less one.
        expire: SQL for the seconds from now until token i expires.
        paired: SQL condition for those with a refresh token.
        id_token: SQL condition for those with an ID token.
    """
    key = f"{first} + i"
    common = {"id": key, "scope": "'read'", "application_id": str(APPLICATION), "user_id": str(USER)}
    uuid = "lower(hex(randomblob(16)))" if connection.vendor == "sqlite" else f"md5('{first}j' || i)::uuid"
    _insert("idtoken", n, id_token, **common, jti=uuid, expires=sql_time(expire))
    _insert(
        "accesstoken",
        n,
        **common,
        token="''",
        token_checksum=_checksum(f"a{first}"),
        expires=sql_time(expire),
        id_token_id=f"CASE WHEN {id_token} THEN {key} END",
        resource="'[]'",
    )
    refresh = common | {"token": "''", "resource": "'[]'"}
    del refresh["scope"]
    _insert("refreshtoken", n, paired, **refresh, token_checksum=_checksum(f"r{first}"), access_token_id=key)


def revoked(n: int, *, first: int, seconds: str) -> None:
    """Make `n` refresh tokens that were revoked so many seconds (SQL) from now."""
    _insert(
        "refreshtoken",
        n,
        id=f"{first} + i",
        token="''",
        token_checksum=_checksum(f"v{first}"),
        application_id=str(APPLICATION),
        user_id=str(USER),
        revoked=sql_time(seconds),
        resource="'[]'",
    )


def inherit(n: int, *, first: int, heir: int) -> None:
    """Make access token `heir` + i the one that refresh token `first` + i was changed for."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE oauth2_provider_accesstoken SET source_refresh_token_id = id + %s "
            "WHERE id BETWEEN %s AND %s",
            [first - heir, heir + 1, heir + n],
        )


def grants(n: int, *, first: int, expire: str) -> None:
    """Make `n` authorization codes."""
    _insert(
        "grant",
        n,
        id=f"{first} + i",
        code=_checksum(f"g{first}"),
        expires=sql_time(expire),
        redirect_uri="'https://client.example/'",
        scope="''",
        code_challenge="''",
        code_challenge_method="''",
        nonce="''",
        claims="''",
        resource="'[]'",
        application_id=str(APPLICATION),
        user_id=str(USER),
    )


def live(n: int) -> None:
    """Make `n` pairs of tokens with an ID token each, valid for an hour and more, and some history.

    History: as many refresh tokens were revoked lately, which reuse protection keeps.
    """
    owner()
    tokens(n, first=0, expire="3600 + i / 1000", paired="true", id_token="true")
    revoked(n, first=n, seconds="-3600 - i / 1000")
    inherit(n, first=n, heir=0)


def dormant(n: int) -> None:
    """Make `n` pairs whose access and ID tokens expired yesterday and whose refresh token lives on."""
    owner()
    tokens(n, first=0, expire=f"-{DAY} - i / 1000", paired="true", id_token="true")
    revoked(n, first=n, seconds=f"-{DAY} - i / 1000")
    inherit(n, first=n, heir=0)


def backlog(n: int) -> None:
    """Make `n` expired access tokens and what belongs to them; a tenth each is dormant and live.

    Of the `n` 40 % have an idle refresh token, 10 % came from one that was revoked, 30 % have an ID token.
    """
    some, old = max(n // 10, 1), f"-{40 * DAY} - i * 0.01"
    owner()
    tokens(n, first=0, expire=old, paired="i % 10 < 4", id_token="i % 10 > 6")
    revoked(some, first=2 * n, seconds=old)
    inherit(some, first=2 * n, heir=0)
    grants(some, first=0, expire=old)
    tokens(some, first=3 * n, expire=f"-{DAY} - i * 0.01", paired="true", id_token="true")
    tokens(some, first=4 * n, expire="3600 + i * 0.01", paired="true", id_token="true")
    revoked(some, first=5 * n, seconds="-3600 - i * 0.01")
