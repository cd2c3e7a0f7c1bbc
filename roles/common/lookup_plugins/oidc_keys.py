"""Ansible lookup: the generated keys by which OpenID Connect signs ID tokens, and their rotation.

They are in one file in the folder of credentials, JSON: `signing` is the private key in use; `next` will sign, `former`
has signed, and the public half of both is published. `due` says from when on the next step may be done; while it is
missing, the hosts may not have the keys yet.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

DOCUMENTATION = r"""
name: oidc_keys
short_description: Generated keys of OpenID Connect
description: The private key (C(signing)) and public keys to be published beside it (C(published)), as PEM.
options:
  _terms:
    description: The folder of credentials, in which the file C(oidc_keys.json) is made if it is missing.
  beside:
    description: Return only the keys published beside this private key; none if it isn't the generated one.
    type: str
  check:
    description: Return a list of sentences that say why the file can't be used. Makes no file.
    type: bool
    default: false
  rotation:
    description: >-
      Return whether the next step is C(ready), or the last one C(unfinished), and what to say of it, C(now) and
      C(later). Makes no file.
    type: bool
    default: false
  advance:
    description: Return the text of the file after that step.
    type: bool
    default: false
  noted:
    description: >-
      Return the text of the file with C(due), O(published_seconds) or O(signed_seconds) from now, because the hosts
      have the keys.
    type: bool
    default: false
  published_seconds: {description: How long a new key is published before it signs., type: int, default: 0}
  signed_seconds: {description: How long a former key is published after it has signed., type: int, default: 0}
author: the maintainers of this project
"""

Keys = dict[str, str]
NAME = "oidc_keys.json"
CLOCKS = 60  # seconds by which clocks may differ


def new_key() -> str:
    """Return a private key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public(private: str) -> str:
    """Return the public half of a private key."""
    # Whether its numbers fit takes long, and was asked for by the preflight.
    key = load_pem_private_key(private.encode(), None, unsafe_skip_rsa_key_validation=True).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read(path: Path) -> Keys:
    """Return what is in the file.

    Raises:
        ValueError: it can't be used; the message is a sentence that says what to do.
    """
    try:
        keys: Keys = json.loads(path.read_text(encoding="utf-8"))
        for name in {"signing", "next"} & {"signing", *keys}:
            public(keys[name])
        datetime.fromisoformat(keys.get("due", "2026-01-01"))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path} doesn't hold the keys of OpenID Connect; restore it from a copy, or remove it to have new ones "
            "generated, with which ID tokens of before can't be verified any more."
        ) from None
    return keys


def text(keys: Keys) -> str:
    """Return what is written into the file."""
    return json.dumps(keys, indent=1) + "\n"


def generate(path: Path) -> None:
    """Make the file, unless another process was faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text({"signing": new_key()}), encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def published(keys: Keys) -> list[str]:
    """Return the public keys that clients learn beside the one that signs."""
    return [public(keys["next"])] if "next" in keys else [keys["former"]] if "former" in keys else []


def rotation(keys: Keys, now: datetime) -> dict[str, Any]:
    """Return whether the next step may be done, and what to say of it."""
    step = "sign with the next key" if "next" in keys else "retire the previous key"
    due = datetime.fromisoformat(keys["due"]) if "due" in keys else now
    unfinished = len(keys) > 1 and "due" not in keys
    says = {"ready": not unfinished and due <= now, "unfinished": unfinished}
    if len(keys) == 1:
        return says | {"now": "publish the next key", "later": "there is one key, the new one."}
    if unfinished:
        return says | {"now": "finish what a run that was interrupted began", "later": ""}
    time = f"{due:%Y-%m-%d %H:%M:%S} UTC"
    later = f"run it again after {time}, with -e rotate=oidc, to {step}."
    return says | {"now": step if due <= now else f"wait until {time} to {step}", "later": later}


def advance(keys: Keys) -> Keys:
    """Return the keys after the next step."""
    if "next" in keys:
        return {"signing": keys["next"], "former": public(keys["signing"])}
    if "former" in keys:
        return {"signing": keys["signing"]}
    return {"signing": keys["signing"], "next": new_key()}


def noted(keys: Keys, now: datetime, published_seconds: int, signed_seconds: int) -> Keys:
    """Return the keys with the time of the next step, now that the hosts have them."""
    if len(keys) == 1:
        return keys
    seconds = (published_seconds if "next" in keys else signed_seconds) + CLOCKS
    return keys | {"due": (now + timedelta(seconds=seconds)).isoformat(timespec="seconds")}


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[Any]:
        """Return what is asked for."""
        self.set_options(var_options=variables, direct=kwargs)
        path, now = Path(terms[0], NAME), datetime.now(UTC)
        try:
            keys = read(path) if path.exists() else {}
        except ValueError as error:
            # Said by the preflight.
            if self.get_option("check"):
                return [str(error)]
            return [] if self.get_option("beside") is not None else [{"signing": "", "published": []}]
        if self.get_option("check"):
            return []
        if (beside := self.get_option("beside")) is not None:
            return published(keys) if keys and keys["signing"].strip() == beside.strip() else []
        if self.get_option("rotation"):
            return [rotation(keys, now)]
        if self.get_option("advance"):
            return [text(advance(keys))]
        if self.get_option("noted"):
            seconds = (self.get_option(f"{name}_seconds") for name in ("published", "signed"))
            return [text(noted(keys, now, *seconds))]
        if not keys:
            generate(path)
            keys = read(path)
        return [{"signing": keys["signing"], "published": published(keys)}]
