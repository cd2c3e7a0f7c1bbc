# Requests hang in every thread of the web process: gunicorn's timeout replaces it.
for _ in 1 2 3 4; do
    python3 -c 'import urllib.request as r; r.build_opener(r.ProxyHandler({})).open("http://127.0.0.1:8000/hang", timeout=60)' 2>/dev/null &
done
sleep 2
ended=$began
