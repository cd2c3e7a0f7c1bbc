# RabbitMQ closes all connections.
timeout 30 rabbitmqctl --quiet close_all_connections chaos
