"""A PACS that says what it is told to, and remembers what it was asked."""

import http.server
import threading


class Upstream:
    def __init__(self):
        self.requests = []   # (method, path, headers)
        self.answers = {}    # path -> (status, headers, body)
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                size = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(size)
                upstream.requests.append(
                    (self.command, self.path, self.headers))
                status, headers, body = upstream.answers.get(
                    self.path.partition("?")[0],
                    (200, [("Content-Type", "text/plain")], b"upstream"))
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status != 304:
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.05}, daemon=True).start()

    def asked(self, path):
        return [request for request in self.requests
                if request[1].partition("?")[0] == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
