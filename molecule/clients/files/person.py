"""What a person does in a browser without scripts: `person.py agree URL` prints where the browser is sent then."""

import json
import re
import sys
from html import unescape
from pathlib import Path

import requests

SITE = json.loads(Path(__file__).with_name("site.json").read_text())


def inputs(page: str) -> dict[str, str]:
    """Return the hidden fields of the page's last form."""
    form = page.rpartition("<form")[2]
    found = re.findall(r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', form)
    return {name: unescape(value) for name, value in found}


def logged_in(url: str) -> tuple[requests.Session, requests.Response]:
    """Open a page that asks for a log-in, log in by the form; return the browser, and the page that follows."""
    browser = requests.Session()
    page = browser.get(url)
    assert "/accounts/login/" in page.url, page.url
    form = inputs(page.text) | {"username": "someone", "password": SITE["password"]}
    # As browsers do over https.
    return browser, browser.post(page.url, form, headers={"Referer": page.url})


def press(browser: requests.Session, page: requests.Response, name: str, value: str) -> requests.Response:
    """Press a button of the page's last form; return the answer, without following it."""
    form = inputs(page.text) | {name: value}
    return browser.post(page.url, form, headers={"Referer": page.url}, allow_redirects=False)


def agree(url: str) -> str:
    """Log in and agree; return where that sends the browser."""
    return agree_in_browser(url)[1]


def agree_in_browser(url: str) -> tuple[requests.Session, str]:
    """Do the same; return the browser, too."""
    browser, page = logged_in(url)
    answer = press(browser, page, "allow", "Authorize")
    assert answer.is_redirect, (page.url, page.text, answer.text)
    return browser, answer.headers["Location"]


def connect(url: str) -> str:
    """Log in at the address that a device shows, and let it act; return the last page's address."""
    browser, page = logged_in(url)
    code = re.search(r'name="user_code" value="([^"]+)"', page.text)
    assert code, page.text
    asked = press(browser, page, "user_code", code[1])
    page = browser.get(requests.compat.urljoin(page.url, asked.headers["Location"]))
    done = press(browser, page, "action", "accept")
    assert done.is_redirect, done.text
    return done.headers["Location"]


if __name__ == "__main__":
    print({"agree": agree, "connect": connect}[sys.argv[1]](sys.argv[2]))
