# Everything is started, and RabbitMQ only a minute later.
systemctl stop tutorial.target tutorial-{beat,worker,web}.service rabbitmq-server
systemctl start --no-block tutorial.target
sleep 60
systemctl start rabbitmq-server
