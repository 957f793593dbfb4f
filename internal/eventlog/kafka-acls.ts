// The least that a Kafka cluster must allow us; docs/kafka.md shows the same rows, and the test on a secured broker grants no more.

export interface Acl {
  resource: 'TOPIC' | 'GROUP'
  /** Without the prefix of the wire. */
  name: string
  /** Every resource whose name begins so. */
  prefixed: boolean
  operations: readonly ('READ' | 'WRITE' | 'DESCRIBE' | 'DESCRIBE_CONFIGS')[]
  why: string
}

export const ACLS: readonly Acl[] = [
  {
    resource: 'TOPIC',
    name: 'mail.',
    prefixed: true,
    operations: ['WRITE', 'DESCRIBE'],
    why: 'uploaderd and indexerd publish',
  },
  {
    resource: 'TOPIC',
    name: 'mail.',
    prefixed: true,
    operations: ['READ'],
    why: 'indexerd consumes; ingestctl shows and replays',
  },
  {
    resource: 'TOPIC',
    name: 'mail.',
    prefixed: true,
    operations: ['DESCRIBE_CONFIGS'],
    why: 'ingestctl topics plan',
  },
  {
    resource: 'GROUP',
    name: 'indexer',
    prefixed: true,
    operations: ['READ'],
    why: 'indexerd is a member of its group',
  },
  {
    resource: 'GROUP',
    name: 'mail-ingest-reader-',
    prefixed: true,
    operations: ['READ'],
    why: 'iterations that share with nobody have a group each, without committed offsets',
  },
]
