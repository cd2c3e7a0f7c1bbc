# RabbitMQ is away for a minute.
systemctl stop rabbitmq-server
sleep 60
systemctl start rabbitmq-server
