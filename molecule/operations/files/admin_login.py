"""Log in to the Admin over HTTP, or look whether a session still is.

Standard input: base URL, and user and password or session, as JSON.
Prints the session's id, or nothing where the login or the session is refused.
"""

import http.cookiejar
import json
import re
import sys
import urllib.parse
import urllib.request

given = json.load(sys.stdin)
jar = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
login = given["base"] + "/admin/login/?next=/admin/"
if "session" in given:
    browser.addheaders.append(("Cookie", f"sessionid={given['session']}"))
    answer = browser.open(given["base"] + "/admin/", timeout=30)
    session = given["session"]
else:
    # The site's own log-in, to which the Admin leads.
    page = browser.open(login, timeout=30)
    login, page = page.url, page.read().decode()
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    form = {"csrfmiddlewaretoken": token, "username": given["user"], "password": given["password"], "next": "/admin/"}
    answer = browser.open(login, urllib.parse.urlencode(form).encode(), timeout=30)
    session = next((cookie.value for cookie in jar if cookie.name == "sessionid"), "")
if urllib.parse.urlsplit(answer.url).path == "/admin/":
    print(session)
