# The web service is restarted twice while clients send requests: none fails.
python3 - <<'PYTHON' &
import threading, time, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sent, failed, until = [], [], time.time() + 12
def client():
    while time.time() < until:
        try:
            direct.open("http://127.0.0.1:8000/healthz", timeout=30).read()
        except OSError as error:
            failed.append(error)
        sent.append(1)
clients = [threading.Thread(target=client) for _ in range(4)]
[each.start() for each in clients]
[each.join() for each in clients]
print(len(sent), "requests, failed:", failed)
raise SystemExit(bool(failed) or len(sent) < 50)
PYTHON
sleep 2
systemctl restart tutorial-web
sleep 2
systemctl restart tutorial-web
wait $! || die "Requests failed"
