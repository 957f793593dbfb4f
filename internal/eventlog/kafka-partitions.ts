// Which partition an event goes to: murmur2 of the key, as Java's producer does it, so that every client agrees.

import kafkajs, { type PartitionMetadata } from 'kafkajs'

/** kafkajs hashes as Java does since its version 2; it wants the metadata of partitions only to count them. */
const byKey = kafkajs.Partitioners.DefaultPartitioner()

/** The partition of `key` among `count` of them. */
export function partitionOf(key: string | Buffer, count: number): number {
  const partitionMetadata = Array.from({ length: count }, (): PartitionMetadata => NOTHING_KNOWN)
  return byKey({ topic: '', partitionMetadata, message: { key, value: null } })
}

const NOTHING_KNOWN: PartitionMetadata = { partitionErrorCode: 0, partitionId: 0, leader: 0, replicas: [], isr: [] }
