// The least that a Kafka cluster must allow us; docs/kafka.md shows the same rows, and the test on a secured broker grants no more.

import { GROUPS } from './dead-letters.ts'

export interface Acl {
  resource: 'TOPIC' | 'GROUP'
  /** Without the prefix of the wire. */
  name: string
  /** Every resource whose name begins so. */
  prefixed: boolean
  operations: readonly ('READ' | 'WRITE' | 'DELETE' | 'DESCRIBE' | 'DESCRIBE_CONFIGS')[]
  why: string
}

const deadLetters = (group: string) => ({ resource: 'TOPIC', name: `${group}.mail.`, prefixed: true }) as const

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
  ...Object.keys(GROUPS).flatMap((group): Acl[] => [
    { ...deadLetters(group), operations: ['WRITE', 'DESCRIBE'], why: 'indexerd keeps dead letters' },
    { ...deadLetters(group), operations: ['READ', 'DESCRIBE_CONFIGS'], why: 'ingestctl dlq and topics plan' },
    { ...deadLetters(group), operations: ['DELETE'], why: 'ingestctl dlq replay and drop forget (DeleteRecords)' },
    { resource: 'GROUP', name: group, prefixed: true, operations: ['READ'], why: 'indexerd is a member of the group' },
  ]),
  {
    resource: 'GROUP',
    name: 'mail-ingest-reader-',
    prefixed: true,
    operations: ['READ'],
    why: 'iterations that share with nobody have a group each, without committed offsets',
  },
]
