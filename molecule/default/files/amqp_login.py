"""Try real AMQP logins; run by the release's Python. Standard input: address, vhost, name-password pairs as JSON."""

import json
import sys

from amqp import Connection
from amqp.exceptions import AccessRefused

given = json.load(sys.stdin)
answers = {}
for user, password in given["logins"]:
    try:
        with Connection(host=f"{given['address']}:5672", userid=user, password=password, virtual_host=given["vhost"]):
            answers[user] = "accepted"
    except AccessRefused:
        answers[user] = "refused"
print(json.dumps(answers))
