"""Get a token through nginx and print it, or use one. Standard input: client id, secret and token as JSON."""

import base64
import http.client
import json
import socket
import ssl
import sys

NAME = "oauth.example.org"
given = json.load(sys.stdin)
basic = base64.b64encode(f"{given['id']}:{given['secret']}".encode()).decode()
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def ask(method, path, authorization, body=None):
    connection = http.client.HTTPSConnection(NAME)
    connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 30), server_hostname=NAME)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, path, body, {"Authorization": authorization} | form)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, (answer.status, text)
    return text


if "token" in given:
    assert "Hello, OAuth2!" in ask("GET", "/api/hello", f"Bearer {given['token']}")
else:
    print(json.loads(ask("POST", "/o/token/", f"Basic {basic}", "grant_type=client_credentials"))["access_token"])
