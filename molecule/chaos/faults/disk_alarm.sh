# RabbitMQ raises its disk alarm: it takes no messages for 20 seconds.
timeout 30 rabbitmqctl --quiet set_disk_free_limit 900GB
sleep 20
timeout 30 rabbitmqctl --quiet set_disk_free_limit 512MB
