"""A server that handlers call, whose answers a test decides, and which notes what came."""
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Target:
    """`answer(path)` gives (status, headers); `calls` are (time, path), `most` were at once."""

    def __init__(self, answer=lambda path: (200, {}), takes=0.0):
        self.answer, self.takes = answer, takes
        self.calls, self.most, self.now = [], 0, 0
        self.lock = threading.Lock()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with target.lock:
                    target.calls.append((time.monotonic(), self.path))
                    target.now += 1
                    target.most = max(target.most, target.now)
                time.sleep(target.takes)
                status, headers = target.answer(self.path)
                with target.lock:
                    target.now -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def times(self):
        with self.lock:
            return [t for t, _ in self.calls]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
