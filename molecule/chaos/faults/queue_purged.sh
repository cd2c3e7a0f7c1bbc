# The queue is emptied.
timeout 30 rabbitmqctl --quiet purge_queue --vhost tutorial maintenance
