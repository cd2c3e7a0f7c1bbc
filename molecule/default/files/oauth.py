"""Get a token over HTTP, use it, revoke it. Standard input: base URL, client id and secret as JSON."""

import base64
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

given = json.load(sys.stdin)
basic = base64.b64encode(f"{given['id']}:{given['secret']}".encode()).decode()


def ask(path, form=None, authorization=None):
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(given["base"] + path, data=data)
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


status, body = ask("/o/token/", {"grant_type": "client_credentials"}, f"Basic {basic}")
assert status == 200, (status, body)
token = json.loads(body)["access_token"]
status, body = ask("/api/hello", authorization=f"Bearer {token}")
assert status == 200, (status, body)
assert "Hello, OAuth2!" in body, body
assert ask("/api/hello")[0] in (401, 403)
status, body = ask("/o/revoke_token/", {"token": token}, f"Basic {basic}")
assert status == 200, (status, body)
assert ask("/api/hello", authorization=f"Bearer {token}")[0] in (401, 403)
print("issued, used, revoked, refused")
