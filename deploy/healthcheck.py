"""Whether the server of this container is ready, asked as its variables say that it listens.

The certificate is not checked: it is for a name, and the server is asked where it is.
"""

import http.client
import os
import socket
import ssl
import sys

SECONDS = 4.0


def is_ready() -> bool:
    """Whether `/health/ready` answers 200.

    Raises:
        OSError: nobody answers.
    """
    path, port = os.environ.get("BIJECTA_UDS"), int(os.environ.get("BIJECTA_PORT") or 8000)
    if path:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(path)
    else:
        connection = socket.create_connection(("127.0.0.1", port), SECONDS)
    if os.environ.get("BIJECTA_TLS_CERTIFICATE"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    asked = http.client.HTTPConnection("localhost", port)
    asked.sock = connection
    asked.request("GET", "/health/ready")
    return asked.getresponse().status == http.HTTPStatus.OK


if __name__ == "__main__":
    sys.exit(not is_ready())
