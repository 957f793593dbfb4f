// The configuration of one small Kafka node.

import { join } from 'node:path'

/** Any 16 bytes in base64; every test cluster is alone in its folder. */
export const CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qk'

export interface Node {
  /** From 1. */
  id: number
  dir: string
  port: number
  controllerPort: number
  /** `id@host:port,…` of all nodes. */
  voters: string
  /** Nodes of the cluster. */
  count: number
  /** Folder of the certificates: clients come by SASL_SSL. Undefined: plain text. */
  certificates: string | undefined
}

export const metaProperties = (node: Node): string =>
  `version=1\ncluster.id=${CLUSTER_ID}\nnode.id=${node.id}\ndirectory.id=${directoryId(node.id)}\n`

const directoryId = (id: number) => Buffer.from(`test-directory-${id}`).toString('base64url').slice(0, 22)

export function brokerProperties(node: Node): string {
  const { id, dir, port, controllerPort, voters, count, certificates } = node
  const clients = certificates === undefined ? 'PLAINTEXT' : 'SASL_SSL'
  const replicas = count === 1 ? 1 : 3
  const inSync = count === 1 ? 1 : 2
  const properties: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': id,
    'controller.quorum.voters': voters,
    'controller.listener.names': 'CONTROLLER',
    listeners: `CLIENTS://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `CLIENTS://127.0.0.1:${port}`,
    'listener.security.protocol.map': `CLIENTS:${clients},CONTROLLER:PLAINTEXT`,
    'inter.broker.listener.name': 'CLIENTS',
    'log.dirs': join(dir, 'data'),
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    // Few partitions for internal topics, and no waiting for a second member: the first consumer starts at once.
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': replicas,
    'group.initial.rebalance.delay.ms': 0,
    // A killed node may register again only when its session has ended; the default is 9 s.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    'replica.lag.time.max.ms': 5000,
    'controller.quorum.election.timeout.ms': 500,
    'controller.quorum.fetch.timeout.ms': 1500,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
    ...(certificates === undefined ? {} : secured(certificates)),
  }
  return `${Object.entries(properties)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`
}

/** SASL_SSL for clients, and nobody may do what no ACL allows. */
function secured(certificates: string): Record<string, string> {
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required'
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required'
  return {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'sasl.mechanism.inter.broker.protocol': 'SCRAM-SHA-512',
    'listener.name.clients.scram-sha-512.sasl.jaas.config': `${scram} username="admin" password="admin-secret";`,
    'listener.name.clients.plain.sasl.jaas.config': `${plain} user_ingest="ingest-secret";`,
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': join(certificates, 'server.pem'),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': join(certificates, 'ca.pem'),
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:admin;User:ANONYMOUS',
  }
}
