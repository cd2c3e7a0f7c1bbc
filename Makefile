# Every verb of the project; `make help` lists them.
SHELL := /bin/sh
bin := $(CURDIR)/.venv/bin
export PATH := $(bin):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export MYPY_CACHE_DIR := $(CURDIR)/.mypy_cache

# A private certificate authority named for one of pip and uv holds for both.
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
ifdef SSL_CERT_FILE
export PIP_CERT ?= $(SSL_CERT_FILE)
endif

locks := requirements.txt $(wildcard app/requirements.txt app/requirements-dev.txt)

.PHONY: help demo down test lint unit app-test molecule operations chaos interrupted upgrade debian-upgrade cluster ha front foreign projects clients machine bench setup packages lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand --tabs=12

demo: setup ## provision a disposable host and show its tokens being cleared (DEMO_DEBIAN=13, DEMO_PORT=8080, DEMO_HTTPS_PORT=8444)
	molecule/shared/demo.sh

down: setup ## remove the demo host
	ansible-playbook -i inventory/demo/hosts.yml molecule/shared/destroy.yml

test: setup ## lint, unit, app-test and molecule, two at a time
	@echo "Each of molecule, unit, app-test and lint prints what it has to say when it ends."
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target molecule unit app-test lint

lint: setup ## ansible-lint, yamllint, ruff, mypy
	yamllint --strict .
	ansible-lint
	ruff check .
	ruff format --check .
	MYPYPATH=roles/systemd_units/files mypy --strict --allow-subclassing-any tests
	mypy --strict --allow-subclassing-any --ignore-missing-imports roles/systemd_units/files
	cd roles/monitoring/files/status && mypy --strict --ignore-missing-imports .
	mypy --strict --ignore-missing-imports roles/backup/files
	mypy --strict roles/rabbitmq/files
	cd app && mypy

unit: setup ## the tests that need no host
	pytest tests

app-test: setup ## the Django project's own tests
	cd app && pytest

molecule: setup ## a Debian 12 and a Debian 13 host: check, converge, idempotence, verify
	molecule/shared/test.sh default

chaos: setup ## what goes wrong in a server's life, one fault after the other, some 15 minutes (FAULT=beat_killed)
	molecule/shared/test.sh chaos

operations: setup ## what an operator does: deploy, roll back, look, back up, restore, rotate, remove
	molecule/shared/test.sh operations

interrupted: setup ## runs of the playbook that are killed at many points
	molecule/shared/test.sh interrupted

upgrade: setup ## hosts that the first release provisioned become hosts of today's, with a day's work afterwards
	molecule/shared/test.sh upgrade

debian-upgrade: setup ## hosts become Debian 13 in place: by the playbook, cut off half-way, and repaired after an upgrade by hand
	molecule/shared/test.sh debian_upgrade

cluster: setup ## one installation on three hosts, with PostgreSQL; what its operators do
	molecule/shared/test.sh cluster

ha: setup ## five hosts that are lost in every way while the schedule runs and clients ask, an hour and a half
	molecule/shared/test.sh ha

front: setup ## nginx and certificates in front, with an authority for tests
	molecule/shared/test.sh front

foreign: setup ## hosts that belong to others too, and hardened ones: refusals, first deployments that fail, and what works
	molecule/shared/test.sh foreign

projects: setup ## other people's projects, unmodified: by poetry, uv, plain versions and wagtail's generator
	molecule/shared/test.sh projects

clients: setup ## client libraries of others and a browser, unmodified, against a provisioned host
	molecule/shared/test.sh clients

machine: setup ## a machine with a kernel of its own, emulated: limits, address filter, reboot (MACHINE_DEBIAN=13)
	molecule/machine/run.sh

bench: setup ## what clean-up, tokens, provisioning and the front door cost; twenty minutes (BENCH_DEBIAN=13)
	cd app && python -m bench
	molecule/bench/run.py
	molecule/bench/front.py

setup: .venv/.stamp ## install what the other verbs need

.venv/.stamp: $(locks) | packages
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	python3 -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.txt >.venv/uv.txt
	pip --quiet --disable-pip-version-check install --require-hashes --requirement .venv/uv.txt
	uv pip sync --python $(bin)/python --require-hashes $(locks)
	touch $@

packages:
	@molecule/shared/packages.sh

lock := uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --custom-compile-command 'make lock'

lock: setup ## make the lock files again from the *.in files
	cd app && $(lock) requirements.in --output-file requirements.txt
	cd app && $(lock) requirements-dev.in --output-file requirements-dev.txt
	$(lock) requirements.in --output-file requirements.txt
	cd molecule/clients/files && $(lock) requirements.in --output-file requirements.txt
	cd roles/django_app/files && $(lock) --no-deps units.in --output-file units.txt
	cd roles/django_app/files && $(lock) poetry.in --output-file poetry.txt

clean: ## remove the environment and caches
	rm -rf .venv .hosts .ansible .mypy_cache .pytest_cache .ruff_cache
