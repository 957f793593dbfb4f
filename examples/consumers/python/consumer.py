"""Reads the events of every topic. What it knows of them is in the AsyncAPI document that it is given.

    python consumer.py BROKERS ASYNCAPI.json GROUP

KAFKA_USERNAME, KAFKA_PASSWORD and KAFKA_CA (a file) are for brokers that want TLS and a login.
"""

import functools
import json
import os
import signal
import sys

from confluent_kafka import Consumer, KafkaException
from jsonschema import Draft202012Validator

brokers, document_file, group = sys.argv[1:4]
with open(document_file, encoding="utf-8") as file:
    document = json.load(file)


def resolved(reference):
    return functools.reduce(lambda at, name: at[name], reference["$ref"].removeprefix("#/").split("/"), document)


class Type:
    """A type of event; it is told by those headers that are constant."""

    def __init__(self, message):
        self.name = message["name"]
        self.content_type = message["contentType"]
        headers = message["headers"]
        self.constant = {name: s["const"] for name, s in headers["properties"].items() if "const" in s}
        self.key = Draft202012Validator(message["bindings"]["kafka"]["key"])
        self.headers = Draft202012Validator(headers)
        self.value = Draft202012Validator(message["payload"])

    def matches(self, headers):
        return all(headers.get(name) == value for name, value in self.constant.items())


def login(server):
    """TLS and the first kind of login that the document has for its secured server."""
    if "KAFKA_USERNAME" not in os.environ:
        return {}
    return {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": os.environ["KAFKA_CA"],
        "sasl.mechanism": {"scramSha512": "SCRAM-SHA-512"}[resolved(server["security"][0])["type"]],
        "sasl.username": os.environ["KAFKA_USERNAME"],
        "sasl.password": os.environ["KAFKA_PASSWORD"],
    }


topics = {
    channel["address"]: [Type(resolved(message)) for message in channel["messages"].values()]
    for channel in document["channels"].values()
}
consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **login(document["servers"]["secured"]),
    }
)

# Ids that were handled. A real consumer keeps them in its database, written in the transaction of its effects.
handled = set()


def handle(record):
    headers = {name: value.decode() for name, value in record.headers() or []}
    place = {"topic": record.topic(), "partition": record.partition(), "offset": record.offset()}
    kind = next((each for each in topics[record.topic()] if each.matches(headers)), None)
    if kind is None:
        return {**place, "skipped": headers.get("ce_type")}
    if not headers.get("content-type", "").startswith(kind.content_type):
        raise ValueError(f"content type of {kind.name}")
    key = record.key().decode()
    kind.key.validate(key)
    kind.headers.validate(headers)
    kind.value.validate(json.loads(record.value()))
    event_id = headers["ce_id"]
    duplicate = event_id in handled
    handled.add(event_id)  # This is where the effect would be, if it is no duplicate.
    return {
        **place,
        "type": kind.name,
        "id": event_id,
        "key": key,
        "tenant": headers["ce_tenant"],
        "duplicate": duplicate,
        "replay": headers.get("ce_replayid"),
    }


running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
consumer.subscribe(list(topics))
try:
    while running:
        records = consumer.consume(num_messages=100, timeout=0.5)
        for record in records:
            if record.error():
                raise KafkaException(record.error())
            print(json.dumps(handle(record)), flush=True)
        if records:
            consumer.commit(asynchronous=False)
finally:
    consumer.close()
