// What a dialog in a file cannot show: time, many clients, and cuts.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { openBed, type Bed, type BedOptions } from './testing/bed.ts'
import { Client } from './testing/client.ts'
import { filler } from './testing/dialog.ts'

let bed: Bed
const opened = async (options: BedOptions = {}): Promise<Client> => {
  bed = await openBed(options)
  return new Client(bed.port)
}
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (probe: () => boolean): Promise<void> => {
  for (let turns = 0; turns < 400 && !probe(); turns += 1) await pause(5)
  expect(probe()).toBe(true)
}

/** A session that has had its 354. */
async function inData(client: Client): Promise<Client> {
  await client.hello()
  for (const line of ['MAIL FROM:<a@sender.example>', 'RCPT TO:<ann@acme.example>', 'DATA']) await client.say(line)
  return client
}

/** Lets the spool hold every write until `release` is called. */
function heldWrites(): { options: BedOptions; release: () => void } {
  const held = Promise.withResolvers<void>()
  const spool: BedOptions['spool'] = (real) => ({
    reserve: (bytes) => real.reserve(bytes),
    check: (bytes) => real.check(bytes),
    begin: (id) => {
      const draft = real.begin(id)
      return {
        write: async (chunk) => {
          await held.promise
          await draft.write(chunk)
        },
        content: () => draft.content(),
        abort: () => draft.abort(),
        commit: (envelope) => draft.commit(envelope),
      }
    },
  })
  return { options: { spool }, release: () => held.resolve() }
}

/** Lets the spool hold every commit until `release` is called. */
function heldCommits(): { options: BedOptions; release: () => void } {
  let release = () => undefined as void
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const spool: BedOptions['spool'] = (real) => ({
    reserve: (bytes) => real.reserve(bytes),
    check: (bytes) => real.check(bytes),
    begin: (id) => {
      const draft = real.begin(id)
      return {
        write: (chunk) => draft.write(chunk),
        content: () => draft.content(),
        abort: () => draft.abort(),
        commit: async (envelope) => {
          await held
          return draft.commit(envelope)
        },
      }
    },
  })
  return { options: { spool }, release: () => release() }
}

afterEach(() => bed.close())

test('an unforeseen error at the end of a mail is 451 4.3.0, holds no space, and the session goes on', async () => {
  const broken = [true]
  const client = await opened({
    now: () => {
      if (broken.pop()) throw new Error('a bug at /srv/secret')
      return 0
    },
  })
  await client.hello()
  expect(await client.mail('Subject: x\r\n\r\n')).toBe('451 4.3.0 local error, try again later')
  expect(bed.reservedBytes()).toBe(0)
  expect(await client.mail('Subject: x\r\n\r\n')).toMatch(/^250 2\.0\.0/)
  expect(await bed.kept()).toHaveLength(1)
})

describe('content', () => {
  test('is kept byte for byte, whatever the TCP segments (R3; RFC 5321 4.5.2)', async () => {
    const wire = Buffer.from('..a\r\n.b\0..\xff\r\n\r\n..\r\n.\r\n', 'latin1')
    const client = await opened()
    await client.hello()
    for (let cut = 1; cut < wire.length; cut += 1) {
      for (const line of ['MAIL FROM:<a@sender.example>', 'RCPT TO:<ann@acme.example>', 'DATA']) await client.say(line)
      client.send(wire.subarray(0, cut))
      await pause(2)
      client.send(wire.subarray(cut))
      expect(await client.reply()).toMatch(/^250 2\.0\.0/)
    }
    const contents = new Set((await bed.kept()).map((each) => each.bytes.toString('latin1')))
    expect([...contents]).toEqual(['.a\r\nb\0..\xff\r\n\r\n.\r\n'])
    expect(await bed.kept()).toHaveLength(wire.length - 1)
  })

  test('25 MiB pass, in bounded time, and are the same', async () => {
    const client = await opened({ limits: { messageBytesMax: 25 * 1024 * 1024 } })
    await client.hello()
    const content = filler(25 * 1024 * 1024)
    expect(await client.mail(content)).toMatch(/^250 2\.0\.0/)
    const [entry] = await bed.kept()
    const digest = (bytes: Buffer | undefined) =>
      createHash('sha256')
        .update(bytes ?? '')
        .digest('hex')
    expect(digest(entry?.bytes)).toBe(digest(content))
  })
})

describe('many', () => {
  test('200 sessions at a time: each mail is kept once, each reply names its own entry', async () => {
    bed = await openBed()
    const replies = await Promise.all(
      Array.from({ length: 200 }, async (_unused, index) => {
        const client = new Client(bed.port)
        await client.hello()
        const reply = await client.mail(`Subject: ${index}\r\n\r\n.\r\n`)
        await client.say('QUIT')
        return { index, reply }
      }),
    )
    const kept = new Map((await bed.kept()).map((each) => [each.id, each.bytes.toString()]))
    expect(kept.size).toBe(200)
    for (const { index, reply } of replies) {
      expect(kept.get(/id=(\S+)/.exec(reply ?? '')?.[1] ?? '')).toBe(`Subject: ${index}\r\n\r\n.\r\n`)
    }
    await until(() => bed.door.sessions() === 0)
    expect(bed.reservedBytes()).toBe(0)
  })

  test('one session more than allowed is told 421; a place that became free is given again', async () => {
    const first = await opened({ limits: { sessionsMax: 1 } })
    expect(await first.reply()).toMatch(/^220/)
    const second = new Client(bed.port)
    expect(await second.reply()).toMatch(/^421 4\.7\.0/)
    await second.closed
    await first.say('QUIT')
    await first.closed
    await until(() => bed.door.sessions() === 0)
    expect(await new Client(bed.port).reply()).toMatch(/^220/)
  })
})

describe('limits at one time', () => {
  test.each([
    ['addressSessionsMax', 'too many sessions of your address', 'address_sessions'],
    ['networkSessionsMax', 'too many sessions of your network', 'network_sessions'],
  ])('%s: the surplus is told 421, others end and make room; each refusal is counted', async (limit, text, limiter) => {
    const first = await opened({ limits: { [limit]: 1 } })
    expect(await first.reply()).toMatch(/^220/)
    const second = new Client(bed.port)
    expect(await second.reply()).toBe(`421 4.7.0 ${text}`)
    await second.closed
    expect(await first.say('QUIT')).toMatch(/^221/)
    await first.closed
    await until(() => bed.door.sessions() === 0)
    expect(await new Client(bed.port).reply()).toMatch(/^220/)
    const metrics = await bed.registry.metrics()
    expect(metrics).toContain(`rate_limited_total{limiter="${limiter}"} 1`)
    expect(metrics).toContain('smtp_connections_total{listener="smtp",outcome="limit"} 1')
  })
})

describe('the server is slow', () => {
  test('the idle timeout does not run while the client waits for us (RFC 5321 4.5.3.2.6)', async () => {
    const { options, release } = heldCommits()
    const client = await inData(await opened({ ...options, limits: { idleTimeoutMs: 60 } }))
    client.send('x\r\n.\r\n')
    await pause(250)
    release()
    expect(await client.reply()).toMatch(/^250 2\.0\.0 accepted/)
    expect(await client.reply()).toMatch(/^421 4\.4\.2/)
  })
})

describe('the spool is slow', () => {
  test('a client is read no faster than its mail is stored', async () => {
    const { options, release } = heldWrites()
    const client = await inData(await opened({ ...options, limits: { messageBytesMax: 100_000_000 } }))
    const mebibyte = filler(1024 * 1024)
    for (let sent = 0; sent < 64; sent += 1) client.send(mebibyte)
    await pause(500)
    // The kernel holds some of it on both sides.
    expect(client.socket.writableLength).toBeGreaterThan(32 * mebibyte.length)
    release()
    client.send('.\r\n')
    expect(await client.reply()).toMatch(/^250 2\.0\.0 accepted/)
  })
})

describe('half a connection', () => {
  test('a client that was told goodbye and does not close is cut after five seconds', async () => {
    let passedMs = 0
    bed = await openBed({ limits: { idleTimeoutMs: 40 }, monotonic: () => performance.now() + passedMs })
    const lingering = connect({ port: bed.port, host: '127.0.0.1', allowHalfOpen: true })
    await once(lingering.resume(), 'end')
    await pause(100)
    expect(bed.door.sessions()).toBe(1)
    passedMs = 5000
    await until(() => bed.door.sessions() === 0)
    lingering.destroy()
  })

  test('a client that closes its sending side waits for a slow commit and gets its 250', async () => {
    const { options, release } = heldCommits()
    const client = await inData(await opened(options))
    client.send('x\r\n.\r\n')
    client.socket.end()
    await pause(50)
    release()
    expect(await client.reply()).toMatch(/^250 2\.0\.0 accepted/)
    await client.closed
  })

  test('refused clients that do not go take no place of others', async () => {
    const first = await opened({ limits: { sessionsMax: 1 } })
    await first.hello()
    const lingering = connect({ port: bed.port, host: '127.0.0.1', allowHalfOpen: true })
    await once(lingering.resume(), 'end')
    await first.say('QUIT')
    await first.closed
    expect(await new Client(bed.port).reply()).toMatch(/^220/)
    lingering.destroy()
  })
})

describe('the client goes', () => {
  test('while its mail is being committed: the mail stays (RFC 5321 4.1.1.4)', async () => {
    const { options, release } = heldCommits()
    const client = await inData(await opened(options))
    client.send('x\r\n.\r\n')
    await pause(30)
    client.socket.resetAndDestroy()
    await pause(30)
    expect(bed.door.sessions()).toBe(1)
    release()
    await until(() => bed.door.sessions() === 0)
    expect(await bed.kept()).toHaveLength(1)
    expect(bed.reservedBytes()).toBe(0)
    expect(bed.log.filter((line) => 'traceId' in line).map((line) => line['msg'])).toEqual(['message accepted'])
  })

  test('while space is looked for that is not there: its fate is told once', async () => {
    let refuse = () => undefined as void
    const refused = new Promise<void>((resolve) => {
      refuse = resolve
    })
    const client = await opened({
      spool: (real) => ({
        begin: (id) => real.begin(id),
        check: (bytes) => real.check(bytes),
        reserve: async () => {
          await refused
          throw Object.assign(new Error('no space'), { fault: 'full' })
        },
      }),
    })
    await client.hello()
    client.send('MAIL FROM:<a@sender.example>\r\nRCPT TO:<ann@acme.example>\r\nDATA\r\n')
    expect([await client.reply(), await client.reply()]).toEqual(['250 2.1.0 sender ok', '250 2.1.5 recipient ok'])
    client.socket.resetAndDestroy()
    await pause(30)
    refuse()
    await until(() => bed.door.sessions() === 0)
    expect(bed.log.filter((line) => 'traceId' in line)).toHaveLength(1)
  })

  test('in the middle of a mail, at any octet: no entry and no space held', async () => {
    bed = await openBed()
    const wire = 'Subject: x\r\n\r\n..\r\n.\r'
    for (let octets = 0; octets <= wire.length; octets += 1) {
      const client = await inData(new Client(bed.port))
      client.send(wire.slice(0, octets))
      if (octets % 2 === 0) client.socket.end()
      else client.socket.destroy()
    }
    await until(() => bed.door.sessions() === 0)
    expect(await bed.kept()).toEqual([])
    expect(bed.reservedBytes()).toBe(0)
    const fates = bed.log.filter((line) => line['msg'] === 'transaction given up by the client')
    expect(fates).toHaveLength(wire.length + 1)
  })
})

describe('drain', () => {
  test('an idle session is told 421 4.3.2, and nobody new is let in', async () => {
    const client = await opened()
    await client.hello()
    const closed = bed.door.close(5000)
    expect(await client.reply()).toMatch(/^421 4\.3\.2/)
    await closed
    expect(bed.door.facts()).toEqual({ listening: false, draining: true, sessions: 0 })
    expect(await new Client(bed.port).reply()).toBeUndefined()
  })

  test('a transfer under way finishes, gets its 250, then 421', async () => {
    const client = await inData(await opened())
    client.send('one\r\n')
    await pause(10)
    const closed = bed.door.close(5000)
    await pause(10)
    client.send('two\r\n.\r\nMAIL FROM:<b@sender.example>\r\n')
    expect(await client.reply()).toMatch(/^250 2\.0\.0 accepted/)
    expect(await client.reply()).toMatch(/^421 4\.3\.2/)
    await closed
    expect(await bed.kept()).toHaveLength(1)
  })

  test('a transfer that does not finish is cut at the deadline, without a trace', async () => {
    const client = await inData(await opened())
    client.send('one\r\n')
    await pause(10)
    await bed.door.close(50)
    await client.closed
    expect(await bed.kept()).toEqual([])
    expect(bed.reservedBytes()).toBe(0)
  })

  test('a commit under way is waited for', async () => {
    const { options, release } = heldCommits()
    const client = await inData(await opened(options))
    client.send('one\r\n.\r\n')
    await pause(20)
    let over = false
    const closed = bed.door.close(5000).then(() => {
      over = true
    })
    await pause(20)
    expect(over).toBe(false)
    release()
    expect(await client.reply()).toMatch(/^250 2\.0\.0 accepted/)
    await closed
    expect(await bed.kept()).toHaveLength(1)
  })
})

describe('errors', () => {
  test('an address in use is told to the caller', async () => {
    bed = await openBed()
    await expect(openBed({ port: bed.port })).rejects.toThrow('EADDRINUSE')
  })

  test('bytes before the greeting end the session (RFC 5321 3.1)', async () => {
    bed = await openBed()
    const replies: (string | undefined)[] = []
    for (let count = 0; count < 10; count += 1) {
      const early = new Client(bed.port)
      early.send('EHLO c\r\n')
      replies.push(await early.reply())
      early.socket.destroy()
    }
    // Whether they arrive first is up to the kernel, each time; nothing is run before the greeting.
    expect(replies).toContain('554 5.5.1 wait for the greeting')
    expect(replies.filter((reply) => !/^(554|220) /.test(reply ?? ''))).toEqual([])
  })

  test('a command line without end is refused and cut', async () => {
    const client = await opened()
    await client.reply()
    client.send(`NOOP ${'x'.repeat(5000)}`)
    expect(await client.reply()).toMatch(/^500 5\.5\.2/)
    await client.closed
  })

  test('metrics follow', async () => {
    const client = await opened()
    await client.hello()
    await client.mail('x\r\n')
    await client.say('RCPT TO:<a@b.example>')
    await client.say('QUIT')
    await until(() => bed.door.sessions() === 0)
    const text = await bed.registry.metrics()
    for (const line of [
      'smtp_connections_total{listener="smtp",outcome="accepted"} 1',
      'smtp_connections{listener="smtp"} 0',
      'smtp_commands_total{command="DATA",code_class="3xx"} 1',
      'smtp_commands_total{command="DATA",code_class="2xx"} 1',
      'smtp_commands_total{command="RCPT",code_class="5xx"} 1',
      'smtp_transactions_total{result="accepted",reason="none"} 1',
      'smtp_recipients_total{result="accepted"} 1',
      'smtp_accept_duration_seconds_count 1',
      'message_size_bytes_sum 3',
    ]) {
      expect(text).toContain(`mail_ingest_${line}\n`)
    }
  })
})
