#!/bin/sh
# Asks for a page with Debian's Chromium, which trusts the authority of this test beside its own, as an account that is nobody else's.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get install --yes -qq --no-install-recommends chromium libnss3-tools >/dev/null
id browser >/dev/null 2>&1 || useradd --create-home browser
python3 - >/home/browser/root.pem <<'END'
import ssl
import urllib.request

trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile="/etc/pebble/root.pem"))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
print(opener.open("https://127.0.0.1:15000/roots/0").read().decode())
END
runuser --user browser -- sh -euc '
    cd
    mkdir --parents .pki/nssdb
    certutil -d sql:.pki/nssdb -N --empty-password
    certutil -d sql:.pki/nssdb -A -t C,, -n authority -i root.pem
    timeout 120 chromium --headless --no-sandbox --disable-gpu --dump-dom https://oauth.example.org/accounts/login/ >page.html
    grep --quiet "<form" page.html
'
