"""Telemetry from Kafka, each reading once and in order.

    python read_telemetry.py KAFKA [GROUP]

Needs: pip install -r requirements.txt
"""

import sys

from confluent_kafka import Consumer, Message


def main(kafka: str, group: str = "telemetry-reader") -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(["telemetry"])
    repeats = Repeats()
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                print(message.error(), file=sys.stderr)
                continue
            headers = {name: value.decode() for name, value in message.headers() or []}
            if repeats.has(message, headers):
                continue
            print(headers["fl-id"], message.key().decode(), message.value().decode(), flush=True)
    finally:
        consumer.close()


class Repeats:
    """What an agent in at_least_once mode sent again after a crash.

    fl-id is agent/epoch/offset, and offsets ascend within a partition: one number for each agent and
    epoch is all there is to remember. Keep it with your own offsets if it shall outlive a restart.
    """

    def __init__(self) -> None:
        self._highest: dict[tuple[int, str, str], int] = {}

    def has(self, message: Message, headers: dict[str, str]) -> bool:
        # A dead letter that was sent again keeps its old id, and comes late by intention.
        if "fl-replay-of" in headers:
            return False
        agent, epoch, offset = headers["fl-id"].split("/")
        source = (message.partition(), agent, epoch)
        if int(offset) <= self._highest.get(source, -1):
            return True
        self._highest[source] = int(offset)
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
