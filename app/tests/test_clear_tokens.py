"""What the periodic task deletes, and what it leaves."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, DeviceGrant, Grant, RefreshToken
from oauth2_provider.settings import oauth2_settings
from pytest_django import Settings as DjangoSettings

from tutorial import tasks
from tutorial.tasks import clear_cimd_applications, clear_device_grants, clear_sessions, clear_tokens

from .conftest import both_engines

HOUR = timedelta(hours=1)
REFRESH_TOKEN_LIFE = timedelta(seconds=oauth2_settings.REFRESH_TOKEN_EXPIRE_SECONDS)
number = count()


@pytest.fixture
def application(user: User) -> Application:
    return Application.objects.create(name="test", user=user, client_type="confidential")


def access_token(application: Application, *, expires_in: timedelta) -> AccessToken:
    return AccessToken.objects.create(
        application=application, token=f"a{next(number)}", expires=timezone.now() + expires_in
    )


def pair(application: Application, *, expires_in: timedelta) -> tuple[AccessToken, RefreshToken]:
    access = access_token(application, expires_in=expires_in)
    refresh = RefreshToken.objects.create(
        application=application, user=application.user, token=f"r{next(number)}", access_token=access
    )
    return access, refresh


def grant(application: Application, *, expires_in: timedelta) -> Grant:
    return Grant.objects.create(
        application=application,
        user=application.user,
        code=f"g{next(number)}",
        expires=timezone.now() + expires_in,
        redirect_uri="https://client.example/",
    )


def test_expired_access_token_goes_and_live_one_stays(application: Application) -> None:
    access_token(application, expires_in=-HOUR)
    live = access_token(application, expires_in=HOUR)

    clear_tokens()

    assert list(AccessToken.objects.all()) == [live]


def test_expired_grant_goes_and_live_one_stays(application: Application) -> None:
    grant(application, expires_in=-HOUR)
    live = grant(application, expires_in=HOUR)

    clear_tokens()

    assert list(Grant.objects.all()) == [live]


def test_pair_past_the_refresh_tokens_life_goes(application: Application) -> None:
    pair(application, expires_in=-REFRESH_TOKEN_LIFE - HOUR)

    clear_tokens()

    assert not RefreshToken.objects.exists()
    assert not AccessToken.objects.exists()


def test_pair_that_can_still_be_refreshed_stays(application: Application) -> None:
    pair(application, expires_in=-REFRESH_TOKEN_LIFE + HOUR)

    clear_tokens()

    assert RefreshToken.objects.count() == 1


def test_more_than_one_batch_goes_in_one_run(application: Application) -> None:
    too_many = oauth2_settings.CLEAR_EXPIRED_TOKENS_BATCH_SIZE + 1
    expired = timezone.now() - HOUR
    AccessToken.objects.bulk_create(
        AccessToken(application=application, token=f"b{i}", token_checksum=f"b{i}", expires=expired)
        for i in range(too_many)
    )

    clear_tokens()

    assert not AccessToken.objects.exists()


@pytest.mark.django_db
def test_expired_session_goes_and_live_one_stays() -> None:
    Session.objects.create(session_key="expired", expire_date=timezone.now() - HOUR)
    live = Session.objects.create(session_key="live", expire_date=timezone.now() + HOUR)

    clear_sessions()

    assert list(Session.objects.all()) == [live]


@pytest.mark.django_db
def test_expired_device_grant_goes_and_live_one_stays(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="tutorial.tasks")
    for name, expires in {"expired": timezone.now() - HOUR, "live": timezone.now() + HOUR}.items():
        DeviceGrant.objects.create(client_id="x", device_code=name, user_code=name, expires=expires)

    clear_device_grants()

    assert DeviceGrant.objects.get().device_code == "live"
    assert caplog.messages == ["1 Expired device grants deleted"]


def expired_sessions() -> None:
    sessions = (Session(session_key=str(i), expire_date=timezone.now() - HOUR) for i in range(25))
    Session.objects.bulk_create(sessions)


def expired_device_grants() -> None:
    grants = (
        DeviceGrant(client_id="x", device_code=str(i), user_code=str(i), expires=timezone.now() - HOUR)
        for i in range(25)
    )
    DeviceGrant.objects.bulk_create(grants)


@both_engines
@pytest.mark.parametrize(
    ("fill", "clear", "model"),
    [(expired_sessions, clear_sessions, Session), (expired_device_grants, clear_device_grants, DeviceGrant)],
)
def test_many_go_in_short_transactions_in_a_limited_time(
    engine: str,
    fill: Callable[[], None],
    clear: Callable[[], None],
    model: type[Model],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill()
    with (
        CaptureQueriesContext(connections[engine]) as queries,
        patch.multiple(
            oauth2_settings, CLEAR_EXPIRED_TOKENS_BATCH_SIZE=10, CLEAR_EXPIRED_TOKENS_BATCH_INTERVAL=0
        ),
    ):
        clear()
        assert not model._default_manager.exists()
        fill()
        monkeypatch.setattr(tasks, "TIME", 0)
        clear()
        assert model._default_manager.count() == 15

    assert sum(query["sql"].startswith("DELETE") for query in queries) == 4


@pytest.mark.django_db
def test_sessions_elsewhere_than_in_the_database_are_left_to_django(settings: DjangoSettings) -> None:
    expired_sessions()
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

    clear_sessions()

    assert Session.objects.count() == 25


@pytest.mark.django_db
def test_application_goes_when_its_metadata_document_has_expired() -> None:
    for name, expires in {"expired": timezone.now() - HOUR, "live": timezone.now() + HOUR}.items():
        Application.objects.create(client_id=name, registration_source="cimd", cimd_expires_at=expires)
    Application.objects.create(client_id="by hand")

    clear_cimd_applications()

    assert set(Application.objects.values_list("client_id", flat=True)) == {"live", "by hand"}
