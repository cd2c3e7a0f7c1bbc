"""What makes gunicorn, a Celery worker and Celery beat good services of systemd, whatever project they run.

The units put this package on PYTHONPATH; a project neither imports it nor needs to know of it.
"""
