"""The URLs of the authorization server, its resource and its administration."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from tutorial.accounts import PasswordResetView
from tutorial.oauth.authorization import AuthorizationView
from tutorial.oauth.authorized import AuthorizedApplicationsView
from tutorial.oauth.concurrency import TokenView
from tutorial.oauth.openid import LogoutView as OpenIDLogoutView
from tutorial.views import ApiHello, favicon, healthz

urlpatterns = [
    path("", TemplateView.as_view(template_name="tutorial/index.html"), name="index"),
    path("admin/", admin.site.urls),
    path("accounts/applications/", AuthorizedApplicationsView.as_view(), name="authorized-applications"),
    path("accounts/password/reset/", PasswordResetView.as_view(), name="account_reset_password"),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/", include("allauth.account.urls")),
    path("", include("tutorial.oauth.metadata")),
    # Of the issuer https://HOST; those of https://HOST/o are below.
    path("authorize/", AuthorizationView.as_view(), name="authorize"),
    path("token/", TokenView.as_view(), name="token"),
    path("token", TokenView.as_view()),
    path("logout/", OpenIDLogoutView.as_view(), name="rp-initiated-logout"),
    path("o/", include("tutorial.oauth.urls")),
    path("api/hello", ApiHello.as_view(), name="api-hello"),
    path("favicon.ico", favicon),
    path("healthz", healthz, name="healthz"),
]
