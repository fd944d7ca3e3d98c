"""A DNS over QUIC server (RFC 9250) made with aioquic: all names have one A record.

python doq_server.py ADDRESS PORT CERTIFICATE KEY RDATA, for example: 127.0.0.5 853 cert.pem key.pem 192.0.2.7
It prints a line for each connection and each query.
"""

import asyncio
import ipaddress
import sys

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import HandshakeCompleted, StreamDataReceived

ADDRESS, PORT, CERTIFICATE, KEY, RDATA = sys.argv[1:]


def answer(query):
    end = 12
    while query[end]:
        end += query[end] + 1
    question = query[12 : end + 5]
    record = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04" + ipaddress.IPv4Address(RDATA).packed
    return query[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + question + record


class Server(QuicConnectionProtocol):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.streams = {}

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            print("connection", event.alpn_protocol, flush=True)
        if isinstance(event, StreamDataReceived):
            data = self.streams.pop(event.stream_id, b"") + event.data
            if not event.end_stream:
                self.streams[event.stream_id] = data
                return
            query = data[2:]
            print("query", "id", int.from_bytes(query[:2], "big"), flush=True)
            assert int.from_bytes(data[:2], "big") == len(query)
            reply = answer(query)
            self._quic.send_stream_data(event.stream_id, len(reply).to_bytes(2, "big") + reply, end_stream=True)
            self.transmit()


async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["doq"])
    configuration.load_cert_chain(CERTIFICATE, KEY)
    await serve(ADDRESS, int(PORT), configuration=configuration, create_protocol=Server)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
