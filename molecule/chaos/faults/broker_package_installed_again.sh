# RabbitMQ's package is installed again, as by an upgrade.
DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet install --reinstall --yes rabbitmq-server >/dev/null
