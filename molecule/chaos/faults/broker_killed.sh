# RabbitMQ is killed.
systemctl kill --signal=KILL rabbitmq-server
