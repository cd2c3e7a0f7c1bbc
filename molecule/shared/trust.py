"""Make a Debian host trust every certificate of a bundle that it does not know: `trust.py BUNDLE`."""

import pathlib
import re
import subprocess
import sys

CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

trusted = pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text()
unknown = [pem for pem in CERTIFICATE.findall(pathlib.Path(sys.argv[1]).read_text()) if pem not in trusted]
for number, pem in enumerate(unknown):
    pathlib.Path(f"/usr/local/share/ca-certificates/controller-{number}.crt").write_text(pem + "\n")
if unknown:
    subprocess.run(["update-ca-certificates"], check=True)
