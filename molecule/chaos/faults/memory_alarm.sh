# RabbitMQ raises its memory alarm: it takes no messages for 20 seconds.
timeout 30 rabbitmqctl --quiet set_vm_memory_high_watermark absolute 1
sleep 20
timeout 30 rabbitmqctl --quiet set_vm_memory_high_watermark absolute 256MiB
