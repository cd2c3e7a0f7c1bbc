#!/bin/sh
# Puts a certificate that has expired where certbot keeps the newest, and has nginx serve it.
set -eu

export DEBIAN_FRONTEND=noninteractive
command -v faketime >/dev/null || apt-get install --yes -qq --no-install-recommends faketime >/dev/null
cd /etc/letsencrypt/live/tutorial
faketime '100 days ago' openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 90 -subj /CN=oauth.example.org \
    -addext subjectAltName=DNS:oauth.example.org,DNS:id.example.org -keyout /run/key.pem -out /run/cert.pem
# Through certbot's links.
cat /run/key.pem >privkey.pem
cat /run/cert.pem >cert.pem
cat /run/cert.pem >fullchain.pem
rm /run/key.pem /run/cert.pem
RENEWED_LINEAGE=/etc/letsencrypt/live/tutorial /etc/nginx-managed/deploy-certificate
