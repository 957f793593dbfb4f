// Clients behind a balancer: each is one of its own, whatever listener it comes to.

import { once } from 'node:events'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as secure } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { openBed, type Bed, type BedOptions } from './testing/bed.ts'
import { Client } from './testing/client.ts'

let bed: Bed
const clients: Client[] = []
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy()
  await bed.close()
})

const open = (options: BedOptions) => openBed({ proxies: ['127.0.0.1'], ...options })

const header = (address: string) => `PROXY TCP4 ${address} 203.0.113.1 5678 25\r\n`

/** A connection that the balancer passes on for `address`. */
function behind(address: string): Client {
  const client = new Client(bed.port)
  clients.push(client)
  client.send(header(address))
  return client
}

test('sessions are counted for the client, not for the balancer', async () => {
  bed = await open({ limits: { addressSessionsMax: 1 } })
  expect(await behind('198.51.100.7').reply()).toMatch(/^220/)
  expect(await behind('198.51.100.8').reply()).toMatch(/^220/)
  expect(await behind('198.51.100.7').reply()).toMatch(/^421 4\.7\.0/)
})

test('so are commands', async () => {
  bed = await open({ limits: { commandRate: 2 } })
  const [one, other] = [behind('198.51.100.7'), behind('198.51.100.8')]
  for (const client of [one, other]) {
    await client.reply()
    expect(await client.say('NOOP')).toMatch(/^250/)
  }
  expect(await one.say('NOOP')).toMatch(/^250/)
  expect(await one.say('NOOP')).toMatch(/^421 4\.7\.0/)
  expect(await other.say('NOOP')).toMatch(/^250/)
})

test('the header comes before TLS, in one packet with its first octets', async () => {
  bed = await open({ listener: 'smtps' })
  const wire = connect({ port: bed.port, host: '127.0.0.1' })
  let begun = false
  const joined = new Duplex({
    read() {},
    write(octets: Buffer, _encoding, done) {
      wire.write(begun ? octets : Buffer.concat([Buffer.from(header('198.51.100.7')), octets]), done)
      begun = true
    },
  })
  wire.on('data', (octets: Buffer) => joined.push(octets))
  const inside = secure({ socket: joined, rejectUnauthorized: false })
  const [greeting] = (await once(inside, 'data')) as [Buffer]
  expect(greeting.toString()).toMatch(/^220 /)
  wire.destroy()
})

test('failed logins are counted for the client', async () => {
  bed = await open({ listener: 'submission', checkSecret: async (secret) => secret === 'open sesame' })
  const login = async (address: string, secret: string) => {
    const client = behind(address)
    await client.hello()
    await client.say('STARTTLS')
    await client.secure()
    await client.say('EHLO c')
    return client.say(`AUTH PLAIN ${Buffer.from(`\0app\0${secret}`).toString('base64')}`)
  }
  for (let turn = 0; turn < 10; turn += 1) expect(await login('198.51.100.7', 'wrong')).toMatch(/^535/)
  expect(await login('198.51.100.7', 'open sesame')).toMatch(/^454 4\.7\.0/)
  expect(await login('198.51.100.8', 'open sesame')).toMatch(/^235/)
})

test.each(['smtp', 'smtps', 'submission'] as const)('at %s, a header that is none is counted', async (listener) => {
  bed = await open({ listener })
  const client = new Client(bed.port)
  clients.push(client)
  client.send('EHLO c\r\n')
  await client.closed
  const counted = `smtp_connections_total{listener="${listener}",outcome="proxy_error"} 1\n`
  expect(await bed.registry.metrics()).toContain(counted)
})
