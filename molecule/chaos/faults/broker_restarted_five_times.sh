# RabbitMQ is restarted five times in a row.
for _ in 1 2 3 4 5; do systemctl restart rabbitmq-server; done
