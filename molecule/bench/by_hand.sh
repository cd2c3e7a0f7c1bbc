#!/bin/sh
# The tutorial as one types it on a fresh Debian, as root, with pip: ends at the worker's first success.
set -eu
export DEBIAN_FRONTEND=noninteractive
exec </dev/null
apt-get -qq update
apt-get -qq install rabbitmq-server python3-venv >/dev/null
python3 -m venv /srv/venv
cd /srv/app
/srv/venv/bin/pip --quiet --disable-pip-version-check install -r requirements.txt
/srv/venv/bin/python manage.py migrate --verbosity 0
/srv/venv/bin/python manage.py loaddata --verbosity 0 periodic_tasks
DJANGO_SUPERUSER_PASSWORD=$(openssl rand -hex 12) /srv/venv/bin/python manage.py createsuperuser --noinput --username admin --email ''
/srv/venv/bin/python manage.py collectstatic --noinput --verbosity 0
unit() {
    printf '[Service]\nWorkingDirectory=/srv/app\nExecStart=/srv/venv/bin/%s\n' "$2" >"/etc/systemd/system/hand-$1.service"
}
unit web 'gunicorn --no-control-socket tutorial.wsgi'
unit worker 'celery -A tutorial worker -l INFO'
unit beat 'celery -A tutorial beat -l INFO --scheduler django_celery_beat.schedulers:DatabaseScheduler'
systemctl daemon-reload
systemctl start hand-web hand-worker hand-beat
until journalctl --quiet --unit=hand-worker | grep --quiet 'clear_tokens.* succeeded'; do sleep 0.5; done
