"""A host with a queue that nobody serves, watched from its start to its end."""
import socket
import threading
import time

from hostproc import Host


class NobodyHome(Host):
    def __init__(self, folder):
        self.port = socket.socket()  # bound, never listening: refused, and nobody else can take it
        self.port.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.port.getsockname()[1]}/000000000000/nobody"
        handler = folder / "handler.lua"
        handler.write_text("function handle(msg) end\n")
        self.started = time.monotonic()
        self.ended = None
        config = {"queue": {"url": self.url, "region": "eu-central-1"}}
        super().__init__(str(folder), handler, config)
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *about):
        super().__exit__(*about)
        self.port.close()

    def _watch(self):
        self.popen.wait()
        self.ended = time.monotonic()
