# The queue is deleted under the worker.
timeout 30 rabbitmqctl --quiet delete_queue --vhost tutorial maintenance
