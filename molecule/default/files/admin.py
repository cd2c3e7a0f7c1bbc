"""Edit the schedule in the Admin as a person would, over HTTP.

Standard input: base URL, user, password and edits as JSON.
"""

import http.cookiejar
import json
import sys
import urllib.parse
import urllib.request
from html.parser import HTMLParser

given = json.load(sys.stdin)
cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
BEAT = "/admin/django_celery_beat"


class Page(HTMLParser):
    """The fields of the page's main form with their values, and its links by their text."""

    def __init__(self, html):
        super().__init__()
        self.fields, self.links, self.options = {}, {}, {}
        self._select = self._textarea = self._link = self._option = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag == "input" and a.get("name") and a.get("type") not in ("submit", "file"):
            if a.get("type") != "checkbox" or "checked" in a:
                self.fields[a["name"]] = a.get("value", "on" if a.get("type") == "checkbox" else "")
        elif tag == "select":
            self._select = a.get("name")
        elif tag == "option" and self._select:
            self._option = a.get("value", "")
            if "selected" in a:
                self.fields[self._select] = self._option
        elif tag == "textarea":
            self._textarea = a.get("name")
            self.fields[self._textarea] = ""
        elif tag == "a":
            self._link = a.get("href")

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        elif tag == "option":
            self._option = None
        elif tag == "textarea":
            self._textarea = None
        elif tag == "a":
            self._link = None

    def handle_data(self, data):
        if self._textarea:
            self.fields[self._textarea] += data
        elif self._option and data.strip():
            self.options.setdefault(self._select, {})[data.strip()] = self._option
        elif self._link and data.strip():
            self.links[data.strip()] = self._link


def get(path):
    with browser.open(given["base"] + path, timeout=30) as answer:
        return answer.url, Page(answer.read().decode())


def post(path, fields):
    request = urllib.request.Request(given["base"] + path, urllib.parse.urlencode(fields).encode())
    with browser.open(request, timeout=30) as answer:
        html = answer.read().decode()
        assert "errornote" not in html, html
        return answer.url


# The site's own log-in, to which the Admin leads.
login, page = get("/admin/login/?next=/admin/")
login, fields = login.removeprefix(given["base"]), page.fields
assert post(login, fields | {"username": given["user"], "password": given["password"]}).endswith("/admin/"), "no login"

for edit in given["edits"]:
    if edit.get("every"):
        path = f"{BEAT}/intervalschedule/add/"
        post(path, get(path)[1].fields | {"every": edit["every"], "period": "seconds"})
    _, listing = get(f"{BEAT}/periodictask/")
    path = next(link for text, link in listing.links.items() if text.startswith(edit["name"]))
    _, page = get(path)
    fields = page.fields | {name: value for name, value in edit.get("fields", {}).items() if value is not None}
    for name in (name for name, value in edit.get("fields", {}).items() if value is None):
        fields.pop(name, None)
    if edit.get("every"):
        fields["interval"] = page.options["interval"][f"every {edit['every']} seconds"]
    assert post(path, fields).endswith(f"{BEAT}/periodictask/"), "not saved"
print("saved")
