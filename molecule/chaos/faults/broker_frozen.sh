# RabbitMQ is stopped: its watchdog replaces it.
systemctl kill --signal=STOP rabbitmq-server
