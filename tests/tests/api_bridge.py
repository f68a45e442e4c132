"""Forwards a port of the loopback interface to a Unix socket, as the user who runs it. Prints the port."""

import socket
import sys
import threading


def copy(source, sink):
    # One direction may break while the other still has something to say.
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(sys.argv[1])
        back = threading.Thread(target=copy, args=(server, client))
        back.start()
        copy(client, server)
        back.join()
    except OSError:
        pass
    finally:
        server.close()
        client.close()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
