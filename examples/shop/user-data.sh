#!/bin/bash
# Installs a web application and starts it, now and at every boot: of this instance and of those made from its image.
# ELASTANE_ROOT is empty or unset where the instance has a root of its own, and its folder where it has none (process driver).
set -eu
root="${ELASTANE_ROOT:-}"
shop="$root/opt/shop"
boot="$root/var/lib/cloud/scripts/per-boot"
mkdir -p "$shop" "$boot"
echo 'version one' > "$shop/page"
cat > "$shop/serve.py" <<'PYTHON'
import http.server, os, socketserver

def identity():
    path = os.environ.get("ELASTANE_ROOT", "") + "/var/lib/cloud/data/instance-id"
    if "ELASTANE_INSTANCE_ID" in os.environ:
        return os.environ["ELASTANE_INSTANCE_ID"]
    return open(path).read().strip() if os.path.exists(path) else os.environ["ELASTANE_LOCAL_IPV4"]

class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            body = b"ok\n"
        else:
            with open("page", "rb") as page:
                body = page.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Instance", NAME)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # Without the base class's look-up of our own name, which may wait for a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

NAME = identity()
Server((os.environ["ELASTANE_LOCAL_IPV4"], 8080), Shop).serve_forever()
PYTHON
cat > "$boot/app" <<'SHELL'
#!/bin/sh
cd "$ELASTANE_ROOT/opt/shop" || exit 1
nohup /usr/bin/python3 serve.py >> app.log 2>&1 < /dev/null &
SHELL
chmod +x "$boot/app"
"$boot/app"
echo 'shop installed'
