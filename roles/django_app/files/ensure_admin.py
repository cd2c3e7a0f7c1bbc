"""Make the first administrator; run by manage.py shell, with name, mail and password as JSON on standard input."""

import json
import sys

from django.contrib.auth import get_user_model

wanted = json.load(sys.stdin)
User = get_user_model()
if User._default_manager.filter(**{User.USERNAME_FIELD: wanted["user"]}).exists():
    print("exists")
else:
    User._default_manager.create_superuser(
        **{User.USERNAME_FIELD: wanted["user"], User.EMAIL_FIELD: wanted["email"], "password": wanted["password"]}
    )
    print("created")
