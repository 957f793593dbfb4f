// What consumers may rely on and must do, in words: one text for docs/events.md and for the AsyncAPI document.

/** How records are delivered; each `name` with what it means. */
const DELIVERY: Readonly<Record<string, string>> = {
  'At least once':
    'An event is appended after the durable step that it names. A crash between the two appends it again, with the same id.',
  'Remember ids':
    "The id (`ce_id`) derives from type, message or refusal, and occurrence (UUIDv5), never from when or where it was told, so a duplicate has the same id, type, key, topic and partition. `time` and durations of a repeated `objectstore.uploaded` may differ. Write the ids that you have handled in the transaction of your effects and skip them, or make effects upserts by message id. A duplicate can come as late as the topic's retention.",
  Order:
    "The key of every record is the message id; in `mail.refusals.v1` it is the tenant. Records of one key stand in one partition of a topic, in the order in which they happened; a repeated one may stand behind later ones. Between keys and between topics there is no order. The partition is murmur2 of the key, as the default partitioner of Java's producer has it.",
  Position:
    'Offsets of a partition grow; the first is what retention has left. Keep your own checkpoint in the transaction of your effects, or commit to your group after the effect; start anywhere, at an offset or at a time. A new group starts at the earliest.',
  Unknown:
    'Ignore fields and headers that you do not know. Skip records of a type (`ce_type`) or major version (`ce_dataschema`) that you do not know; do not stop at them. Treat an unknown status, reason or source as "other".',
  Replays:
    'A replay is new records with the old ids and the headers `ce_replayid` (which replay) and `ce_replayof` (the id told again). Who remembers ids skips them without looking; who wants to do the work again looks for `ce_replayid`. `ce_force` is `duplicate` where the operator asks for work on what would count as a duplicate, or on what a policy set aside.',
  Trace: '`traceparent` is the trace begun at MAIL FROM, the one that the 250 reply quotes.',
  Privacy:
    "Ids, sizes, digests and the sender's domain; no subjects, bodies or addresses. Only `ingest.refused` has addresses, of the tenant's own domains or mailboxes: who asks why a mail did not arrive asks about one of them.",
}

/** What may change without notice, and what never does: compatibility.ts refuses it, identity.test.ts pins the ids. */
const MAY = [
  'a new optional field; a new optional header',
  'a new type in a topic; a new topic',
  'a new value of a status, reason or source; a wider bound of a number',
  'texts for people: titles, descriptions, `detail`',
  'retention, replicas and the number of brokers',
]
const NEVER = [
  'a field, header, type or topic is removed or renamed',
  'a type of a field changes, narrower or wider; a format, pattern or value is newly demanded',
  'a field or header is newly required, or no longer there in every record',
  'a type moves to another topic; a topic changes its key; an id derives from something else',
]

const bullets = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n')

/** How records are delivered, as a list in Markdown. */
export const deliveryRules = (): string =>
  bullets(Object.entries(DELIVERY).map(([name, text]) => `**${name}.** ${text}`))

/** What changes and what does not, in Markdown. */
export const evolutionRules = (): string => `What may come at any time:

${bullets(MAY)}

What never comes within a major version:

${bullets(NEVER)}

A breaking change is a new major version, with a \`ce_dataschema\` of its own, told beside the old one for one retention period.
More partitions move keys and are announced before.`
