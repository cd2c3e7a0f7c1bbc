# Packets to and from RabbitMQ are lost for a minute, without a reset.
nft add table inet chaos
nft add chain inet chaos input '{ type filter hook input priority 0; }'
nft add rule inet chaos input tcp dport 5672 drop
nft add rule inet chaos input tcp sport 5672 drop
sleep 60
nft delete table inet chaos
