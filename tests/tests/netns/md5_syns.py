# Opens connections that Linux ignores: their SYN has TCP's MD5 option (19), and the server has no key.
# Arguments: address and port of the server, and for how many seconds.
import errno
import socket
import struct
import sys
import time

address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
TCP_MD5SIG = 14
peer = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(address)
key = b"no one knows it"
option = peer.ljust(128, b"\0") + struct.pack("=BBHi", 0, 0, len(key), 0) + key.ljust(80, b"\0")

sockets = []
end = time.monotonic() + seconds
while time.monotonic() < end:
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, option)
    client.setblocking(False)
    assert client.connect_ex((address, port)) == errno.EINPROGRESS
    sockets.append(client)
    time.sleep(0.02)

assert len(sockets) > 20 * seconds, len(sockets)
for client in sockets:
    try:
        client.getpeername()
        sys.exit("a connection was accepted")
    except OSError as error:
        assert error.errno == errno.ENOTCONN, error
