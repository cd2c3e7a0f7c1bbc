"""Ansible lookup: OAuth applications with their secrets, generated beside the inventory where none is given."""

from __future__ import annotations

from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: client_secrets
short_description: OAuth applications with their secrets
description: >-
  The applications, each confidential one with a C(client_secret). Where none is given, it is generated into
  C(oauth_CLIENT_ID.txt) in the folder of credentials, by the lookup C(ansible.builtin.password).
options:
  _terms:
    description: The applications.
  folder:
    description: The folder of credentials.
    required: true
author: the maintainers of this project
"""


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: list[dict[str, Any]], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return them."""
        self.set_options(var_options=variables, direct=kwargs)
        return [self._with_secret(application, variables) for application in terms]

    def _with_secret(self, application: dict[str, Any], variables: Any) -> dict[str, Any]:
        if application.get("state") == "absent" or "client_secret" in application:
            return application
        if application["client_type"] == "public":
            return {**application, "client_secret": ""}
        path = f"{self.get_option('folder')}/oauth_{application['client_id']}.txt"
        password = lookup_loader.get("ansible.builtin.password", loader=self._loader, templar=self._templar)
        [secret] = password.run([path], variables, length=64, chars=["ascii_letters", "digits"])
        return {**application, "client_secret": secret}
