#!/bin/sh
# Runs Debian's pebble, an authority for tests, which asks port 80 of each name. Its own certificate has a root that the host trusts.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install --yes -qq --no-install-recommends pebble openssl ca-certificates >/dev/null

mkdir -p /etc/pebble
cd /etc/pebble
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc'
# shellcheck disable=SC2086
openssl req -x509 $key -days 30 -subj /CN=authority -addext keyUsage=critical,keyCertSign,cRLSign -keyout root.key -out root.pem
# shellcheck disable=SC2086
openssl req $key -subj /CN=acme.example.org -keyout key.pem -out request.pem
printf '%s\n' subjectAltName=DNS:acme.example.org,IP:127.0.0.1 authorityKeyIdentifier=keyid subjectKeyIdentifier=hash >extensions
openssl x509 -req -in request.pem -CA root.pem -CAkey root.key -days 30 -extfile extensions -out cert.pem
cp root.pem /usr/local/share/ca-certificates/authority.crt
update-ca-certificates >/dev/null

cat >config.json <<END
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443,
  "certificate": "/etc/pebble/cert.pem", "privateKey": "/etc/pebble/key.pem"}}
END
# Without the refusals and pauses by which it tries clients; it asks all the same.
cat >/etc/systemd/system/pebble.service <<END
[Service]
Environment=PEBBLE_WFE_NONCEREJECT=0 PEBBLE_VA_NOSLEEP=1
ExecStart=/usr/bin/pebble -config /etc/pebble/config.json
END
systemctl daemon-reload
systemctl start pebble
echo '127.0.0.1 acme.example.org' >>/etc/hosts
