"""The toolkit's URLs, some of them with views of our own."""

from django.urls import path
from oauth2_provider import urls as toolkit

from tutorial.oauth.authorization import AuthorizationView
from tutorial.oauth.concurrency import TokenView
from tutorial.oauth.device import DeviceAuthorizationView
from tutorial.oauth.metadata import SERVER, MetadataView

app_name = "oauth2_provider"

urlpatterns = [
    path(SERVER, MetadataView.as_view(), name="oauth-server-metadata"),
    path("authorize/", AuthorizationView.as_view()),
    path("token/", TokenView.as_view()),
    path("device-authorization/", DeviceAuthorizationView.as_view()),
    # Not its metadata for any path that somebody asks for.
    *toolkit.base_urlpatterns,
    *toolkit.management_urlpatterns,
    *toolkit.oidc_urlpatterns,
    *toolkit.dcr_urlpatterns,
]
