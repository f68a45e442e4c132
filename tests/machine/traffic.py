#!/usr/bin/env python3
"""An echo server, and a client that notices every loss.

traffic.py serve PORT            answers each byte with itself
traffic.py watch ADDRESS FILE    keeps one connection and opens others all the time, and writes
                                 what it saw to FILE as JSON after each exchange
"""

import json
import os
import socket
import socketserver
import sys
import threading
import time

# An exchange that takes longer is a loss, however it ends: a retransmission alone takes 200 ms.
LIMIT = 10.0
PAUSE = 0.02


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def exchange(connection):
    connection.sendall(b"x")
    if connection.recv(1) != b"x":
        raise ConnectionError("the connection was closed")


def connect(address):
    connection = socket.create_connection(address, timeout=LIMIT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Watch:
    def __init__(self, address, file):
        self.address, self.file = address, file
        self.seen = {"rounds": 0, "longest_ms": 0, "flow_ends": 0, "opened": 0, "not_opened": 0}
        self.lock = threading.Lock()

    def record(self, **changes):
        with self.lock:
            for key, value in changes.items():
                if key == "longest_ms":
                    self.seen[key] = max(self.seen[key], value)
                else:
                    self.seen[key] += value
            with open(self.file + ".new", "w") as file:
                json.dump(self.seen, file)
            os.replace(self.file + ".new", self.file)

    def keep_one(self):
        connection = connect(self.address)
        while True:
            start = time.monotonic()
            try:
                exchange(connection)
                took = round((time.monotonic() - start) * 1000)
                self.record(rounds=1, longest_ms=took)
            except OSError as error:
                self.record(flow_ends=1)
                print(f"the flow ended: {error}", flush=True)
                connection.close()
                connection = self.again()
            time.sleep(PAUSE)

    def again(self):
        while True:
            try:
                return connect(self.address)
            except OSError:
                time.sleep(PAUSE)

    def open_others(self):
        while True:
            try:
                with connect(self.address) as connection:
                    exchange(connection)
                self.record(opened=1)
            except OSError as error:
                self.record(not_opened=1)
                print(f"not opened: {error}", flush=True)
            time.sleep(PAUSE)


def main():
    if sys.argv[1] == "serve":
        with Server(("", int(sys.argv[2])), Echo) as server:
            server.serve_forever()
    address = (sys.argv[2], 80)
    watch = Watch(address, sys.argv[3])
    threading.Thread(target=watch.open_others, daemon=True).start()
    watch.keep_one()


if __name__ == "__main__":
    main()
