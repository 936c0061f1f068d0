#!/usr/bin/env python3
"""A whole helper: `test://SOCKET` is a lock that the server at a Unix socket gives by the word "yours"."""
import socket
import sys

try:
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[-1].removeprefix("test://"))
    if "inf" in sys.argv:
        print("waiting", flush=True)
    server.sendall(" ".join(sys.argv[1:]).encode() + b"\n")
    answer = server.recv(1000).decode()
    if not answer:
        raise EOFError("the server said nothing")
    if "--status" in sys.argv:
        print(answer)
        sys.exit(3 if answer == "free" else 0)
    if answer != "yours":
        print(answer, file=sys.stderr)
        sys.exit(75)
    socket.send_fds(socket.socket(fileno=1), [b"\n"], [server.fileno()])
except Exception as error:
    print(error, file=sys.stderr)
    sys.exit(69)
