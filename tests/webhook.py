"""A server of this machine that keeps what the daemon posts to it."""

import http.server
import json
import threading


class Webhook:
    """Takes notifications, as SNS sends them, and events, as EventBridge does."""

    def __init__(self):
        self.posted, self.lock = [], threading.Lock()
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with webhook.lock:
                    webhook.posted.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def notifications(self, topic, event=None):
        """The messages to a topic, of one event when it is named, in the order of their coming, each once: delivery is
        at least once."""
        with self.lock:
            envelopes = [body for body in self.posted if body.get("TopicArn") == topic]
        messages = {body["MessageId"]: json.loads(body["Message"]) for body in envelopes}
        return [message for message in messages.values() if event in (None, message["Event"])]

    def events(self, kind):
        """The details of the events of a kind."""
        with self.lock:
            found = {body["id"]: body["detail"] for body in self.posted if body.get("detail-type") == kind}
        return list(found.values())

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)
