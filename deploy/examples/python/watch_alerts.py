"""What is wrong on this box right now, over MQTT: no Kafka needed.

    python watch_alerts.py HOST [PORT]

Needs: pip install -r requirements.txt
"""

import json
import sys

import paho.mqtt.client as mqtt


def main(host: str, port: str = "1883") -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    # At each connection: the broker tells again what is open.
    client.on_connect = lambda client, *_: client.subscribe("alerts/#", qos=1)
    client.on_message = on_message
    client.connect(host, int(port))
    client.loop_forever()


def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
    if not message.payload:
        # A cleared alert empties its topic: nothing is retained there any more.
        return
    alert = json.loads(message.payload)["data"]
    known = "open" if message.retain else alert["state"]
    print(f"{known:8} {alert['severity']:8} {message.topic}: {alert['reason']}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
