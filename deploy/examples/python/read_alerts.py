"""Alerts from Kafka, each event once.

    python read_alerts.py KAFKA [GROUP]

Needs: pip install -r requirements.txt
"""

import json
import sys
from collections import OrderedDict

from confluent_kafka import Consumer

REMEMBERED = 100_000


def main(kafka: str, group: str = "alert-reader") -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": group,
            "auto.offset.reset": "earliest",
            # What an agent in exactly_once mode has not committed is not there yet.
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["fieldline.alerts"])
    seen: OrderedDict[str, None] = OrderedDict()
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                print(message.error(), file=sys.stderr)
                continue
            event = json.loads(message.value())
            # The same id is the same event, told twice.
            if event["id"] not in seen:
                seen[event["id"]] = None
                if len(seen) > REMEMBERED:
                    seen.popitem(last=False)
                act_on(event)
            # Only now: an alert that was not acted on is read again after a crash.
            consumer.commit(message, asynchronous=False)
    finally:
        consumer.close()


def act_on(event: dict) -> None:
    alert = event["data"]
    where = f"{alert['site']}/{alert['device']}/{alert['metric']}"
    print(f"{alert['state']:8} {alert['severity']:8} {where} {alert['kind']}: {alert['reason']}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
