"""The toolkit's URLs, some of them with views of our own."""

from django.urls import URLPattern, path
from oauth2_provider import urls as toolkit
from oauth2_provider.views import UserInfoView

from tutorial.oauth.authorization import AuthorizationView
from tutorial.oauth.concurrency import TokenView
from tutorial.oauth.device import DeviceAuthorizationView
from tutorial.oauth.forms import ApplicationRegistration, ApplicationUpdate
from tutorial.oauth.metadata import OPENID, SERVER, DiscoveryView, MetadataView
from tutorial.oauth.openid import LogoutView
from tutorial.views import IntrospectTokenView

app_name = "oauth2_provider"


def corrected(found: URLPattern) -> URLPattern:
    """Return one of the toolkit's URLs for numbers and any client ID; it takes a slug for both, and fails."""
    route = (
        str(found.pattern).replace("<slug:pk>", "<int:pk>").replace("<slug:client_id>", "<path:client_id>")
    )
    return path(route, found.callback, name=found.name)


endpoints = [
    path("authorize/", AuthorizationView.as_view(), name="authorize"),
    path("token/", TokenView.as_view()),
    path("introspect/", IntrospectTokenView.as_view()),
    path("device-authorization/", DeviceAuthorizationView.as_view()),
    *map(corrected, toolkit.base_urlpatterns),
]

urlpatterns = [
    path(SERVER, MetadataView.as_view(), name="oauth-server-metadata"),  # and not for any path behind it
    *endpoints,
    # Without the slash as well: the redirect to it would lose the form.
    *(path(str(found.pattern).removesuffix("/"), found.callback) for found in endpoints),
    path("applications/register/", ApplicationRegistration.as_view(), name="register"),
    path("applications/<int:pk>/update/", ApplicationUpdate.as_view(), name="update"),
    *map(corrected, toolkit.management_urlpatterns),
    path(OPENID, DiscoveryView.as_view()),
    path("userinfo", UserInfoView.as_view()),
    path("logout/", LogoutView.as_view(), name="rp-initiated-logout"),
    *toolkit.oidc_urlpatterns,
    *toolkit.dcr_urlpatterns,
]
