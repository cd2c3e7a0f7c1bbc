# Before what makes a project: its tools, and what "First steps with Django" of Celery's documentation has people write.
set -eu
export UV_PYTHON=/usr/bin/python3 REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
python3 -m venv /root/tools
/root/tools/bin/pip install --quiet uv
PATH=/root/tools/bin:$PATH

# celery PACKAGE SETTINGS [LINES]
celery() {
    cat >"$1/celery.py" <<PYTHON
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "$2")
app = Celery("${1##*/}")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
@app.task(bind=True, ignore_result=True)
def debug_task(self):
    print(f"Request: {self.request!r}")
${3:-}
PYTHON
    echo 'from .celery import app as celery_app' >>"$1/__init__.py"
}

rm -rf /root/project
mkdir /root/project
cd /root/project
