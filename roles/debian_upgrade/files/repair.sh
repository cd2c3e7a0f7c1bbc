# Finishes what dpkg left half-way on a host that was being upgraded, and sets RabbitMQ's data aside where the new RabbitMQ
# has come and can't read them. Does and says nothing on any other host. Run by a shell as root.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Somebody else's apt may be at work, or that of a run that lost its connection.
tries=0
while [ $tries -lt 1800 ] && pgrep -x 'dpkg|apt-get|apt' >/dev/null; do
    sleep 1
    tries=$((tries + 1))
done

mark() { touch /var/lib/debian-upgrade-begun; }

case $(dpkg-query --show --showformat='${Version}' rabbitmq-server 2>/dev/null) in
    4.*)
        for flags in /var/lib/rabbitmq/mnesia/*-feature_flags; do
            [ -e "$flags" ] || continue
            if grep -q feature_flags_v2 "$flags"; then continue; fi
            mark
            aside=/var/lib/rabbitmq/mnesia.$(date +%Y%m%dT%H%M%S)
            echo "Setting aside RabbitMQ's data, which RabbitMQ 4 can't read: $aside"
            systemctl stop rabbitmq-server.service
            mv /var/lib/rabbitmq/mnesia "$aside"
            break
        done
        ;;
esac

if [ -n "$(dpkg --audit)" ]; then
    mark
    echo 'Finishing what dpkg left half-way'
    # Fails as long as a package waits for another that isn't there yet; APT brings that.
    dpkg --force-confdef --force-confold --configure -a </dev/null ||
        apt-get --yes -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold --fix-broken install </dev/null
fi
