"""Uses the client that openapi-python-client makes: a zone, a record, what is listed, errors, and what is changed.

python client.py URL
"""

import sys

from hotdns_client import Client
from hotdns_client.api.hosted_zones import list_zones
from hotdns_client.api.records import change, delete_records, get_records, list_records, put_record
from hotdns_client.api.zones import create_zone_with_records, delete_zone_with_records
from hotdns_client.models import ChangeSet, Edit, EditOperation, NewRecord, NewZone, Problem, Record, RecordPage, Zone

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)


def expect(is_so, what):
    if not is_so:
        sys.exit(f"not as expected: {what}")


made = create_zone_with_records.sync(client=client, body=NewZone(name="python.example"))
expect(isinstance(made, Zone), made)

address = NewRecord(type_="A", ttl=60, value=["192.0.2.1", "192.0.2.2"])
record = put_record.sync("www.python.example", client=client, body=address)
expect(isinstance(record, Record) and record.value == ["192.0.2.1", "192.0.2.2"], record)

page = get_records.sync("www.python.example", client=client)
expect(isinstance(page, RecordPage) and page.records[0].name == "www.python.example.", page)

refused = put_record.sync("www.python.example", client=client, body=NewRecord(type_="A", value="not an address"))
expect(isinstance(refused, Problem) and refused.code == "invalid_value", refused)

edits = [Edit(op=EditOperation.PUT, name=f"host{number}.python.example", type_="A", value="192.0.2.3") for number in (1, 2)]
changed = change.sync(client=client, body=ChangeSet(edits=edits, comment="two hosts"))
expect(len(changed.diff) == 2, changed)

listed = list_records.sync(client=client, zone="python.example", q="192.0.2.3")
expect([found.name for found in listed.records] == ["host1.python.example.", "host2.python.example."], listed)

zones = list_zones.sync(client=client)
expect(any(zone.name.rstrip(".") == "python.example" for zone in zones), zones)

gone = delete_records.sync_detailed("host1.python.example", client=client)
expect(gone.status_code == 204, gone)
gone = delete_zone_with_records.sync_detailed("python.example", client=client)
expect(gone.status_code == 204, gone)
print("The client in Python works.")
