"""A server that takes whatever is posted to it and remembers when."""
import http.server
import json
import threading
import time


class Recorder:
    """Bodies are JSON objects; each is kept with `at`, the time it came, in the order of coming."""

    def __init__(self):
        self.events = []
        lock = threading.Lock()
        events = self.events

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    events.append({**body, "at": time.time()})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
