#!/bin/sh
# Provisions the demo host, shows a few ticks of its schedule and leaves it running.
set -eu

inventory=inventory/demo/hosts.yml
ansible-playbook --inventory "$inventory" molecule/shared/create.yml
ansible-playbook --inventory "$inventory" site.yml

echo
echo 'The schedule at work, for 25 seconds:'
ssh -F .hosts/demo.ssh demo sudo timeout 25 \
    journalctl --follow --no-hostname --lines=5 --unit=tutorial-beat --unit=tutorial-worker || [ $? = 124 ]

cat <<END

Admin:     http://localhost:${DEMO_PORT:-8000}/admin/
           https://localhost:${DEMO_HTTPS_PORT:-8443}/admin/ with a self-signed certificate
Login:     admin
Password:  inventory/demo/credentials/admin_password.txt
Shell:     ssh -F .hosts/demo.ssh demo
Remove it: make down
END
