// Statements as the queries make them, for asking each engine how it would run them.

/** `index`: of the columns that PostgreSQL must use, as its partitions name it. */
export const PLANS: readonly [what: string, statement: string, index?: string][] = [
  ['all', 'select * from messages order by received_at desc, id desc limit 50'],
  [
    'a tenant',
    "select * from messages where tenant = 'a' order by received_at desc, id desc limit 50",
    'tenant_received_at_id',
  ],
  [
    'a tenant and status',
    "select * from messages where tenant = 'a' and status = 'FAILED' order by received_at desc, id desc limit 50",
    'tenant_status_received_at_id',
  ],
  ['a status', "select * from messages where status = 'FAILED' order by received_at desc, id desc limit 50"],
  [
    'a page of a tenant',
    "select * from messages where tenant = 'a' and (received_at, id) < (5, 'x') order by received_at desc, id desc limit 50",
  ],
  ['an entry', "select * from messages where entry_id = 'x'"],
  ['any id', "select * from messages where id = 'x' or entry_id = 'x' or trace_id = 'x' or header_message_id = 'x'"],
  ['a mailbox', "select message_id from message_mailboxes where mailbox = 'a'"],
  ['a thread', "select * from messages where tenant = 'a' and thread_id = 't'"],
  ['duplicates', "select * from messages where duplicate_of = 'x' order by entry_id limit 1"],
  ['events of a message', "select * from events where subject = 'x'", 'subject'],
  ['events of an entry', "select * from events where entry_id = 'x'", 'entry_id'],
  ['events of a trace', "select * from events where trace_id = 'x'", 'trace_id'],
  ['an event', "select * from events where id = 'x'", 'id'],
  [
    'events of a tenant',
    "select * from events where tenant = 'a' order by time, topic, partition, log_offset limit 50",
    'tenant_time_topic_partition_log_offset',
  ],
  [
    'events from an offset',
    "select * from events where topic = 't' and partition = 0 and log_offset >= 5 and log_offset < 9 order by log_offset limit 50",
  ],
]
