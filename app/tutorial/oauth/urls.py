"""The toolkit's URLs, some of them with views of our own."""

from django.urls import path
from oauth2_provider import urls as toolkit

from tutorial.oauth.concurrency import TokenView
from tutorial.oauth.device import DeviceAuthorizationView
from tutorial.oauth.metadata import MetadataView

app_name = "oauth2_provider"

urlpatterns = [
    path(".well-known/oauth-authorization-server", MetadataView.as_view()),
    path("token/", TokenView.as_view()),
    path("device-authorization/", DeviceAuthorizationView.as_view()),
    *toolkit.urlpatterns,
]
